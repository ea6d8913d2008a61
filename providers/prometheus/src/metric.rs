//! What targets say of their metrics: a file for each, in the form in which they are exposed.

use crate::Id;
use crate::api::{Metadata, Metric, data, prometheus};
use omnifs_sdk::*;

fn text(name: &str, said: &[Metric]) -> Content {
    let line = |word: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('\n', "\\n");
        format!("# {word} {name} {value}")
    };
    lines(said.iter().flat_map(|metric| {
        let unit = Some(&metric.unit).filter(|unit| !unit.is_empty());
        let unit = unit.map(|unit| line("UNIT", unit));
        [line("HELP", &metric.help), line("TYPE", &metric.kind)].into_iter().chain(unit)
    }))
}

fn entry(name: String, said: &[Metric]) -> Entry<Id> {
    let content = text(&name, said);
    Entry::file(name.clone(), Id::Metric(name)).content(content)
}

pub fn list() -> Result<Listing<Id>> {
    let Members(all) = data::<Metadata>(prometheus::metadata())?;
    Ok(all.map(|(name, said)| entry(name, &said)).into())
}

fn said(name: &str) -> Result<Vec<Metric>> {
    let Members(found) = data::<Metadata>(prometheus::metadata().query("metric", name))?;
    Ok(found.one()?.1)
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    Ok(entry(name.to_owned(), &said(name)?))
}

pub fn read(name: &str) -> Result<Content> {
    Ok(text(name, &said(name)?))
}
