//! Rules by their groups. Two files may have a group of one name, and a group two rules of one.

use crate::Id;
use crate::api::{Group, Groups, Rule, data, prometheus};
use omnifs_sdk::poll::digest;
use omnifs_sdk::*;

pub struct Shown {
    file: String,
    group: String,
    rule: Raw<Rule>,
}

impl Object for Shown {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("name", |r| scalar(&r.rule.name)),
        leaf("type", |r| scalar(&r.rule.kind)),
        leaf("query", |r| scalar(&r.rule.query)),
        leaf("health", |r| scalar(&r.rule.health)),
        leaf("error", |r| optional(Some(&r.rule.last_error).filter(|text| !text.is_empty()))),
        leaf("state", |r| optional(r.rule.state.as_ref())),
        leaf("for", |r| optional(r.rule.duration)),
        map("labels", |r| r.rule.labels.files()),
        map("annotations", |r| r.rule.annotations.files()),
        leaf("rule.json", |r| r.rule.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::Rule(self.file.clone(), self.group.clone(), key(&self.rule))
    }
}

/// What tells a rule from others of its group.
fn key(rule: &Rule) -> String {
    format!("{:016x}", digest::of(&(&rule.name, &rule.query, &rule.labels.0)))
}

fn all() -> Result<Items<Group>> {
    Ok(data::<Groups>(prometheus::rules())?.groups)
}

fn entries(group: Group) -> Listing<Id> {
    let Group { name, file, rules } = group;
    let entry = |rule: Raw<Rule>| {
        let (shown, tie) = (rule.name.clone(), key(&rule).split_off(8));
        let rule = Shown { file: file.clone(), group: name.clone(), rule };
        Entry::object(shown, &rule).tie(tie)
    };
    rules.map(entry).into()
}

pub fn groups() -> Result<Listing<Id>> {
    let entry = |group: Group| {
        let (file, name) = (group.file.clone(), group.name.clone());
        let tie = format!("{:08x}", digest::of(&file) >> 32);
        Entry::holding(name.clone(), Id::Group(file, name), entries(group)).tie(tie)
    };
    Ok(all()?.map(entry).into())
}

fn group(file: &str, name: &str) -> Result<Group> {
    let is = |group: &Group| group.file == file && group.name == name;
    all()?.flat_map(|group| is(&group).then_some(group)).one()
}

pub fn list(file: &str, name: &str) -> Result<Listing<Id>> {
    Ok(entries(group(file, name)?))
}

pub fn find(file: &str, name: &str, rule: &str) -> Result<Shown> {
    let found = group(file, name)?.rules.flat_map(|own| (key(&own) == rule).then_some(own));
    Ok(Shown { file: file.to_owned(), group: name.to_owned(), rule: found.one()? })
}

pub fn table(form: Form) -> Result<Content> {
    let mut table = Table::new(["type", "group", "name", "state", "health", "query", "error"]);
    let all = all()?;
    for group in all.iter() {
        for rule in group.rules.iter() {
            table.row([
                rule.kind.as_str().into(),
                group.name.as_str().into(),
                rule.name.as_str().into(),
                rule.state.as_deref().into(),
                rule.health.as_str().into(),
                rule.query.as_str().into(),
                rule.last_error.as_str().into(),
            ]);
        }
        table.noting(&group.rules);
    }
    table.noting(&all);
    Ok(table.content(form))
}
