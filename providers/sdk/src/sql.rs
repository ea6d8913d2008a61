//! Statements that the manifest names ([`Endpoint::statements`](crate::manifest::Endpoint)), run by the host; and
//! what tables look like as files.

use crate::bindings::database::omnifs::provider::sql as wit;
use crate::content::{self, Content};
use crate::{Changes, NodeId, Position, Progress, Result, host};
use std::fmt::Write as _;

pub use wit::Value;

/// All rows of a statement.
#[derive(Clone, Debug)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// Equal where nothing was committed in between; see `wit/sql.wit`.
    pub state: String,
}

/// Runs a statement of an endpoint's with a value for each of its parameters.
pub fn query(endpoint: &str, statement: &str, parameters: &[Value]) -> Result<Rows> {
    let wit::Rows { columns, rows, state } = host::query(endpoint, statement, parameters)?;
    Ok(Rows { columns, rows, state })
}

/// A text parameter.
pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// The text of a value that is one.
pub fn as_text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

/// The number of a value that is one.
pub fn as_integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => 0,
    }
}

impl Rows {
    /// As RFC 4180 has it, with lines that end in a line feed: a header, then a line for each row. `NULL` is an empty
    /// field, an empty text is `""`, bytes are `\x` with hexadecimal digits.
    pub fn csv(&self) -> Content {
        let mut out = String::new();
        let names = self.columns.iter().map(|name| text(name));
        record(&mut out, &names.collect::<Vec<_>>());
        self.rows.iter().for_each(|row| record(&mut out, row));
        Content(out.into_bytes())
    }

    /// A row's columns from `from` on as a JSON object. Bytes are `{"hex": "00ff"}`.
    pub fn json(&self, row: &[Value], from: usize) -> Content {
        let members = self.columns.iter().zip(row).skip(from);
        let members = members.map(|(name, value)| (name.clone(), json(value)));
        content::json_value(&serde_json::Value::Object(members.collect()))
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        // JSON has no number for what is not finite.
        Value::Real(number) if number.is_finite() => (*number).into(),
        Value::Real(number) => number.to_string().into(),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(bytes) => serde_json::json!({"hex": hex(bytes)}),
    }
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to memory does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn record(out: &mut String, values: &[Value]) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match value {
            Value::Null => {}
            Value::Integer(number) => drop(write!(out, "{number}")),
            Value::Real(number) => drop(write!(out, "{number:?}")),
            Value::Blob(bytes) => drop(write!(out, "\\x{}", hex(bytes))),
            Value::Text(text) => field(out, text),
        }
    }
    out.push('\n');
}

fn field(out: &mut String, text: &str) {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
    } else {
        out.push_str(text);
    }
}

/// One poll of a database, of which any statement was just answered. Where its state is not that of the cursor,
/// `whole` changed, of which everything is part.
pub fn poll<I: NodeId>(position: &Position, answered: &Rows, whole: I) -> Progress {
    let mut changes = Changes::default();
    match &position.cursor {
        Some(held) if *held == answered.state => {}
        Some(_) => drop(changes.invalidated([whole])),
        // Nobody knows in which state the first fetch found it.
        None => drop(changes.gap(position.scope.as_str())),
    }
    Progress {
        changes,
        cursor: Some(answered.state.clone()),
        resumed: position.cursor.is_some(),
        wait: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Change;

    crate::ids! { pub enum Id { _: crate::immutable(), Root = "root", Table(n: u64) = "table" } }

    fn rows() -> Rows {
        let values = [
            Value::Null,
            Value::Integer(-1),
            Value::Real(1.0),
            text("a \"b\", c\nd"),
            text(""),
            Value::Blob(vec![0, 255]),
        ];
        let columns = ["n", "i", "r", "t", "e,", "b"].map(str::to_owned).to_vec();
        Rows { columns, rows: vec![values.to_vec()], state: "7".into() }
    }

    #[test]
    fn a_table_is_quoted_where_it_has_to_be_and_tells_null_from_nothing() {
        let csv = String::from_utf8(rows().csv().0).unwrap();
        let expected = "n,i,r,t,\"e,\",b\n,-1,1.0,\"a \"\"b\"\", c\nd\",\"\",\\x00ff\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn a_row_is_json_with_its_types() {
        let all = rows();
        let row: serde_json::Value = serde_json::from_slice(&all.json(&all.rows[0], 1).0).unwrap();
        let expected = serde_json::json!({
            "i": -1, "r": 1.0, "t": "a \"b\", c\nd", "e,": "", "b": {"hex": "00ff"}
        });
        assert_eq!(row, expected);
        let endless = Rows { columns: vec!["r".into()], rows: vec![], ..all };
        let shown = endless.json(&[Value::Real(f64::INFINITY)], 0).0;
        assert_eq!(String::from_utf8(shown).unwrap(), "{\n  \"r\": \"inf\"\n}\n");
    }

    #[test]
    fn another_state_changes_everything_and_the_first_proves_nothing() {
        let at = |cursor: Option<&str>| {
            let cursor = cursor.map(str::to_owned);
            let position = Position { scope: "all".into(), cursor, ..Position::default() };
            let progress = poll(&position, &rows(), Id::Root);
            assert_eq!(progress.cursor.as_deref(), Some("7"));
            (progress.changes.0, progress.resumed)
        };
        assert_eq!(at(None), (vec![Change::Gap("all".into())], false));
        assert_eq!(at(Some("7")), (vec![], true));
        assert_eq!(at(Some("6")), (vec![Change::Invalidated("root".into())], true));
    }
}
