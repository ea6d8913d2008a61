//! Schemas.

use crate::{DATABASE, Id};
use omnifs_sdk::sql::{Value, as_text, query, text};
use omnifs_sdk::*;

fn entry(row: &[Value]) -> Option<Entry<Id>> {
    let name = as_text(row.first()?).to_owned();
    Some(Entry::directory(name.clone(), Id::Schema(name)))
}

pub fn list() -> Result<Vec<Entry<Id>>> {
    let schemas = query(DATABASE, "schemas", &[])?;
    Ok(schemas.rows.iter().filter_map(|row| entry(row)).collect())
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let found = query(DATABASE, "schema", &[text(name)])?;
    found.rows.first().and_then(|row| entry(row)).ok_or(Error::NotFound)
}
