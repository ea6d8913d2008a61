//! Rows, each a file that is named by its primary key, as the server writes it.

use crate::{DATABASE, Id};
use omnifs_sdk::sql::{Value, as_text, query, text};
use omnifs_sdk::*;

/// Rows that a listing shows where nothing is set, and at most.
const BOUND: i64 = 1_000;
const BOUND_MAX: i64 = 50_000;

/// The columns of a table's key, in its order.
fn columns(schema: &str, table: &str) -> Result<Vec<String>> {
    let key = query(DATABASE, "key", &[text(schema), text(table)])?;
    let columns = key.rows.iter().filter_map(|row| row.first());
    let columns: Vec<String> = columns.map(|name| as_text(name).to_owned()).collect();
    if columns.is_empty() { Err(Error::NotFound) } else { Ok(columns) }
}

/// The values of a key as one text, with commas between them. In a key of several columns, commas within one and
/// `~` are escaped.
fn joined(values: &[Value]) -> String {
    let parts = values.iter().map(as_text);
    match values {
        [_] => parts.collect(),
        _ => parts.map(escape).collect::<Vec<_>>().join(","),
    }
}

fn parts(key: &str, columns: usize) -> Option<Vec<String>> {
    let parts: Vec<String> = match columns {
        1 => vec![key.to_owned()],
        _ => key.split(',').map(unescape).collect::<Option<_>>()?,
    };
    (parts.len() == columns).then_some(parts)
}

fn escape(text: &str) -> String {
    text.replace('~', "~~").replace(',', "~c")
}

fn unescape(text: &str) -> Option<String> {
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            '~' => plain.push(match rest.next()? {
                '~' => '~',
                'c' => ',',
                _ => return None,
            }),
            c => plain.push(c),
        }
    }
    Some(plain)
}

/// A row as JSON and its key.
fn shown(row: &[Value]) -> Option<(String, Content)> {
    let (json, key) = row.split_first()?;
    Some((joined(key), document(format!("{}\n", as_text(json)))))
}

fn entry(schema: &str, table: &str, row: &[Value]) -> Option<Entry<Id>> {
    let (key, content) = shown(row)?;
    let id = Id::Row(schema.to_owned(), table.to_owned(), key.clone());
    Some(Entry::file(format!("{key}.json"), id).content(content))
}

pub fn list(schema: &str, table: &str) -> Result<Listing<Id>> {
    let bound = config::parse::<i64>("listing-bound").unwrap_or(BOUND).clamp(1, BOUND_MAX);
    let columns = columns(schema, table)?;
    let mut values = vec![text(schema), text(table), Value::Integer(bound + 1)];
    values.extend(columns.iter().map(|name| text(name)));
    let mut rows = query(DATABASE, &format!("keyed-{}", columns.len()), &values)?.rows;
    let more = rows.len() as i64 > bound;
    rows.truncate(usize::try_from(bound).unwrap_or(usize::MAX));
    let entries: Vec<_> = rows.iter().filter_map(|row| entry(schema, table, row)).collect();
    Ok(match more {
        false => entries.into(),
        true => Listing::partial(
            entries,
            format!(
                "{schema}.{table}: the first {bound} rows; others by name, and all in rows.csv; \
                 listing-bound raises that"
            ),
        ),
    })
}

/// The row with this key, if there is one.
fn one(schema: &str, table: &str, key: &str) -> Result<Vec<Value>> {
    let columns = columns(schema, table)?;
    let parts = parts(key, columns.len()).ok_or(Error::NotFound)?;
    let mut values = vec![text(schema), text(table)];
    for (column, part) in columns.iter().zip(&parts) {
        values.extend([text(column), text(part)]);
    }
    let rows = match query(DATABASE, &format!("by-{}", columns.len()), &values) {
        // A data exception: the text is no value of the column's type.
        Err(Error::Invalid(why)) if why.contains("(22") => return Err(Error::NotFound),
        rows => rows?.rows,
    };
    // Several texts may be read as one value, and the key is what the server writes.
    let own = |row: &Vec<Value>| shown(row).is_some_and(|(own, _)| own == key);
    rows.into_iter().find(own).ok_or(Error::NotFound)
}

pub fn find(schema: &str, table: &str, name: &str) -> Result<Entry<Id>> {
    let key = name.strip_suffix(".json").ok_or(Error::NotFound)?;
    entry(schema, table, &one(schema, table, key)?).ok_or(Error::NotFound)
}

pub fn read(schema: &str, table: &str, key: &str) -> Result<Content> {
    shown(&one(schema, table, key)?).map(|(_, content)| content).ok_or(Error::NotFound)
}
