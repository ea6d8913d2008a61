//! Rows, each a file that is named by its primary key.

use crate::key::Key;
use crate::{DATABASE, Id};
use omnifs_sdk::sql::{Rows, Value, as_integer, as_text, query, text};
use omnifs_sdk::*;

/// Rows that a listing shows where nothing is set, and at most.
const BOUND: i64 = 1_000;
const BOUND_MAX: i64 = 50_000;
/// Columns of a primary key by which a row can be asked for.
const COLUMNS_MAX: usize = 3;

/// By what a table's rows are told apart.
enum Keyed {
    /// By the columns of its primary key, in its order.
    By(Vec<String>),
    /// By their number: the name of it that no column has.
    Numbered(&'static str),
}

impl Keyed {
    fn of(table: &str) -> Result<Keyed> {
        let columns = query(DATABASE, "columns", &[text(table)])?;
        let column = |row: &Vec<Value>| match &row[..] {
            [name, place] => Some((as_integer(place), as_text(name).to_owned())),
            _ => None,
        };
        let columns: Vec<(i64, String)> = columns.rows.iter().filter_map(column).collect();
        if columns.is_empty() {
            return Err(Error::NotFound);
        }
        let mut key: Vec<_> = columns.iter().filter(|(place, _)| *place > 0).cloned().collect();
        key.sort();
        if !key.is_empty() && key.len() <= COLUMNS_MAX {
            return Ok(Keyed::By(key.into_iter().map(|(_, name)| name).collect()));
        }
        if !key.is_empty() {
            return Err(Error::Invalid(format!(
                "the primary key of {table} has more than {COLUMNS_MAX} columns; rows.csv has its rows"
            )));
        }
        let taken = |name: &str| columns.iter().any(|(_, own)| own.eq_ignore_ascii_case(name));
        let mut names = ["rowid", "_rowid_", "oid"].into_iter().filter(|name| !taken(name));
        let none =
            || Error::Invalid(format!("the rows of {table} have no number that can be named"));
        names.next().map(Keyed::Numbered).ok_or_else(none)
    }

    /// Columns of the answer that come before those of the table.
    fn before(&self) -> usize {
        match self {
            Keyed::By(_) => 0,
            Keyed::Numbered(_) => 1,
        }
    }

    fn first(&self, table: &str, most: i64) -> Result<Rows> {
        let most = Value::Integer(most);
        match self {
            Keyed::By(_) => query(DATABASE, "keyed", &[text(table), most]),
            Keyed::Numbered(number) => {
                query(DATABASE, "numbered", &[text(number), text(table), most])
            }
        }
    }

    fn one(&self, table: &str, key: &Key) -> Result<Rows> {
        match self {
            Keyed::By(columns) => {
                let mut values = vec![text(table)];
                for (column, value) in columns.iter().zip(&key.0) {
                    values.extend([text(column), value.clone()]);
                }
                query(DATABASE, &format!("by-{}", columns.len()), &values)
            }
            Keyed::Numbered(number) => {
                let is = key.0.first().cloned().unwrap_or(Value::Null);
                query(DATABASE, "by-number", &[text(number), text(table), is])
            }
        }
    }

    fn columns(&self) -> usize {
        match self {
            Keyed::By(columns) => columns.len(),
            Keyed::Numbered(_) => 1,
        }
    }

    /// The key of a row of such an answer.
    fn key(&self, rows: &Rows, row: &[Value]) -> Option<Key> {
        match self {
            Keyed::By(columns) => {
                let value = |name: &String| {
                    let at = rows.columns.iter().position(|own| own == name)?;
                    row.get(at).cloned()
                };
                columns.iter().map(value).collect::<Option<_>>().map(Key)
            }
            Keyed::Numbered(_) => row.first().map(|number| Key(vec![number.clone()])),
        }
    }

    fn entry(&self, table: &str, rows: &Rows, row: &[Value]) -> Option<Entry<Id>> {
        let key = self.key(rows, row)?;
        let name = key.name()?;
        let content = rows.json(row, self.before());
        Some(Entry::file(name, Id::Row(table.to_owned(), key)).content(content))
    }
}

pub fn list(table: &str) -> Result<Listing<Id>> {
    let bound = config::parse::<i64>("listing-bound").unwrap_or(BOUND).clamp(1, BOUND_MAX);
    let keyed = Keyed::of(table)?;
    let mut rows = keyed.first(table, bound + 1)?;
    let more = rows.rows.len() as i64 > bound;
    rows.rows.truncate(usize::try_from(bound).unwrap_or(usize::MAX));
    let entries = rows.rows.iter().map(|row| keyed.entry(table, &rows, row));
    let entries: Vec<_> = entries.collect();
    let nameless = entries.iter().filter(|entry| entry.is_none()).count();
    let entries: Vec<_> = entries.into_iter().flatten().collect();
    let mut notes = Vec::new();
    if more {
        notes.push(format!(
            "{table}: the first {bound} rows; others by name, and all in rows.csv; listing-bound raises that"
        ));
    }
    if nameless > 0 {
        notes.push(format!(
            "{table}: {nameless} rows with NULL in the primary key are in rows.csv only"
        ));
    }
    Ok(match notes.is_empty() {
        true => entries.into(),
        false => Listing::partial(entries, notes.join("; ")),
    })
}

pub fn find(table: &str, name: &str) -> Result<Entry<Id>> {
    let keyed = Keyed::of(table)?;
    for key in Key::named(name, keyed.columns()) {
        let rows = keyed.one(table, &key)?;
        let entries = rows.rows.iter().filter_map(|row| keyed.entry(table, &rows, row));
        if let Some(entry) = entries.into_iter().find(|entry| entry.name() == name) {
            return Ok(entry);
        }
    }
    Err(Error::NotFound)
}

pub fn read(table: &str, key: &Key) -> Result<Content> {
    let keyed = Keyed::of(table)?;
    let rows = keyed.one(table, key)?;
    let mut own = rows.rows.iter().filter(|row| keyed.key(&rows, row).as_ref() == Some(key));
    let row = own.next().ok_or(Error::NotFound)?;
    Ok(rows.json(row, keyed.before()))
}
