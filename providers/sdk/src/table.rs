//! Tables: a collection as one file, tab-separated or as a JSON document a line.
//!
//! - **TSV**: one line with the names of the columns, and a line for each row. No value is an empty cell;
//!   a list is its items with commas between. A tab, a line feed, a carriage return and a backslash
//!   within a value are written `\t`, `\n`, `\r` and `\\`, any other character that nobody can see
//!   ([`omnifs_text`]) `\u{HEX}`, and a comma within an item of a list `\,`. So a line is a row, and the
//!   columns are those of the first line, whatever the service's texts hold.
//! - **JSON lines**: the same values by the names of the columns, without any of these escapes.
//!
//! What a collection lacks is a row too: its first cell is `?` and its last one says what it is. As JSON it is
//! `{"missing": "..."}`.

use crate::content::one_line;
use crate::{Content, Entry, Items, Tree};
use serde_json::{Map, Value, json};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A collection as two files.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    tsv: String,
    jsonl: String,
}

/// The two files: the endings of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Tsv,
    Jsonl,
}

impl Form {
    pub const EACH: [Form; 2] = [Form::Tsv, Form::Jsonl];
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Tsv => "tsv",
            Form::Jsonl => "jsonl",
        })
    }
}

impl FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Form::EACH.into_iter().find(|form| form.to_string() == text).ok_or(())
    }
}

impl Table {
    /// A table without rows.
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let mut tsv = String::new();
        for (at, column) in columns.iter().enumerate() {
            tsv.push_str(if at > 0 { "\t" } else { "" });
            write_text(&mut tsv, column, false);
        }
        tsv.push('\n');
        Table { columns, tsv, jsonl: String::new() }
    }

    /// Adds a row: a value for each column, or a list of values.
    pub fn row(&mut self, values: impl IntoIterator<Item = Value>) {
        let mut members = Map::new();
        for (column, value) in self.columns.iter().zip(values) {
            if !members.is_empty() {
                self.tsv.push('\t');
            }
            write_cell(&mut self.tsv, &value);
            members.insert(column.clone(), value);
        }
        self.tsv.push('\n');
        self.json(members.into());
    }

    /// Says what the table does not show.
    pub fn missing(&mut self, why: &str) {
        let why = one_line(why);
        self.tsv.push('?');
        self.tsv.extend(self.columns.iter().skip(1).map(|_| '\t'));
        write_text(&mut self.tsv, &why, false);
        self.tsv.push('\n');
        self.json(json!({ "missing": why }));
    }

    /// Says which items of the collection could not be read.
    pub fn noting<T>(&mut self, items: &Items<T>) {
        items.odd().iter().filter(|odd| !odd.shown).for_each(|odd| self.missing(&odd.to_string()));
    }

    fn json(&mut self, row: Value) {
        // Writing a value to memory does not fail.
        let _ = writeln!(self.jsonl, "{row}");
    }

    /// One of the two files.
    pub fn content(&self, form: Form) -> Content {
        let text = match form {
            Form::Tsv => &self.tsv,
            Form::Jsonl => &self.jsonl,
        };
        Content(text.clone().into_bytes())
    }

    /// Both, as entries `NAME.tsv` and `NAME.jsonl`.
    pub fn entries<I: Tree>(&self, name: &str, id: impl Fn(Form) -> I) -> [Entry<I>; 2] {
        Form::EACH
            .map(|form| Entry::file(format!("{name}.{form}"), id(form)).content(self.content(form)))
    }
}

fn write_cell(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => write_text(out, text, false),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                write_text(out, &text, true);
            }
        }
        other => write_text(out, &other.to_string(), false),
    }
}

/// The text as it stands in a cell, or in an item of a list.
fn write_text(out: &mut String, text: &str, in_list: bool) {
    let mut hidden = omnifs_text::hidden(text).map(|(at, _)| at).peekable();
    for (at, c) in text.char_indices() {
        let hidden = hidden.next_if_eq(&at).is_some();
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            ',' if in_list => out.push_str("\\,"),
            _ if hidden => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 4] = ["number", "labels", "done", "title"];

    fn text(table: &Table, form: Form) -> String {
        String::from_utf8(table.content(form).0).unwrap()
    }

    #[test]
    fn a_row_is_a_line_of_as_many_cells_whatever_the_texts_hold() {
        let titles = [
            "plain, with a comma",
            "a\tb\nc\r\nd\\n",
            "\0\u{1b}[31m\u{85}\u{2028}\u{202e}\u{feff}",
            "\u{1f600} \u{e9}",
            "",
            "?",
        ];
        let mut table = Table::new(COLUMNS);
        for title in titles {
            table.row([json!(7), json!(["a,b", "c\td"]), json!(true), json!(title)]);
        }
        table.row([json!(8), json!([]), Value::Null, json!("x")]);
        table.missing("more\nthan\tthese");
        let tsv = text(&table, Form::Tsv);
        let lines: Vec<&str> = tsv.split_terminator('\n').collect();
        assert_eq!(lines.len(), 1 + titles.len() + 2, "{tsv}");
        for line in &lines {
            assert_eq!(line.split('\t').count(), COLUMNS.len(), "{line:?}");
            assert!(!line.chars().any(|c| c != '\t' && c.is_control()), "{line:?}");
        }
        assert_eq!(lines[0], "number\tlabels\tdone\ttitle");
        assert_eq!(lines[1], "7\ta\\,b,c\\td\ttrue\tplain, with a comma");
        assert!(lines[2].ends_with("\ta\\tb\\nc\\r\\nd\\\\n"), "{}", lines[2]);
        assert!(lines[3].ends_with("\\u{0}\\u{1b}[31m\\u{85}\\u{2028}\\u{202e}\\u{feff}"));
        assert_eq!(lines[7], "8\t\t\tx");
        assert_eq!(lines[8], "?\t\t\tmore than\\tthese");
    }

    #[test]
    fn json_lines_hold_the_values_as_they_are() {
        let mut table = Table::new(COLUMNS);
        table.row([json!(7), json!(["a,b"]), json!(true), json!("a\tb\n\\")]);
        table.missing("more");
        let rows: Vec<Value> = text(&table, Form::Jsonl)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let first = json!({"number": 7, "labels": ["a,b"], "done": true, "title": "a\tb\n\\"});
        assert_eq!(rows, [first, json!({"missing": "more"})]);
    }
}
