//! Tables and views.

use crate::{DATABASE, Id};
use omnifs_sdk::sql::{Value, as_integer, as_text, query, text};
use omnifs_sdk::*;

fn entry(row: &[Value]) -> Option<Entry<Id>> {
    let [name, kind] = row else { return None };
    let name = as_text(name).to_owned();
    let id = match as_text(kind) {
        "table" | "shadow" => Id::Table(name.clone()),
        _ => Id::View(name.clone()),
    };
    // What it holds is part of the program, and whether it exists is not.
    let coherence = scoped(DATABASE);
    Some(Entry::directory(name, id).coherence(coherence))
}

pub fn list() -> Result<Vec<Entry<Id>>> {
    let tables = query(DATABASE, "tables", &[])?;
    Ok(tables.rows.iter().filter_map(|row| entry(row)).collect())
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let found = query(DATABASE, "table", &[text(name)])?;
    found.rows.first().and_then(|row| entry(row)).ok_or(Error::NotFound)
}

/// The statements that made the table, its indexes and its triggers.
pub fn schema(name: &str) -> Result<Content> {
    let made = query(DATABASE, "schema", &[text(name)])?;
    if made.rows.is_empty() {
        return Err(Error::NotFound);
    }
    let statement = |row: &Vec<Value>| format!("{};\n", row.first().map_or("", as_text));
    Ok(document(made.rows.iter().map(statement).collect::<String>()))
}

pub fn csv(name: &str) -> Result<Content> {
    Ok(query(DATABASE, "all", &[text(name)])?.csv())
}

pub fn count(name: &str) -> Result<Content> {
    let counted = query(DATABASE, "count", &[text(name)])?;
    let number = counted.rows.first().and_then(|row| row.first()).map_or(0, as_integer);
    Ok(scalar(number))
}
