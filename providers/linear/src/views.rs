//! Directories of links beside a team's directories of issues: by label, assignee, creator and project, and
//! those of the one whose credential it is.
//!
//! All of it is made of what the listing of the open ones holds, and offered with it: whoever has listed `_open`
//! pays nothing more for any of it, and whoever reads one of them first has paid for `_open`. Every event about
//! an issue ends all of them: they are part of [`Id::Index`].

use crate::Id;
use crate::api::{Issue, Person};
use crate::issues;
use omnifs_sdk::*;

/// By what the open ones are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Label,
    Assignee,
    Creator,
    Project,
}

words!(Field { Label = "label", Assignee = "assignee", Creator = "creator", Project = "project" });

impl Field {
    const EACH: [Field; 4] = [Field::Label, Field::Assignee, Field::Creator, Field::Project];

    fn values<'a>(self, issue: &'a Issue) -> Vec<&'a str> {
        let name = |person: &'a Option<Person>| {
            person.iter().map(|person| person.display_name.as_str()).collect()
        };
        match self {
            Field::Label => issue.labels.iter().map(|label| label.name.as_str()).collect(),
            Field::Assignee => name(&issue.assignee),
            Field::Creator => name(&issue.creator),
            Field::Project => issue.project.iter().map(|p| p.name.as_str()).collect(),
        }
    }
}

/// What a team's directory of issues shows of them.
pub fn entries(team: &str) -> [(&'static str, Id); 5] {
    let by = |field| Id::By(team.to_owned(), field);
    [
        ("_by-label", by(Field::Label)),
        ("_by-assignee", by(Field::Assignee)),
        ("_by-creator", by(Field::Creator)),
        ("_by-project", by(Field::Project)),
        ("_mine", Id::Mine(team.to_owned())),
    ]
}

/// All that the open ones of a team tell of them.
pub fn offer(team: &str, found: &Pages<Issue>) {
    if found.items.len() > Groups::<Issue>::MOST_OFFERED {
        return;
    }
    for field in Field::EACH {
        let groups = Groups::new(found.items.iter(), |issue| field.values(issue));
        preload::whole(Id::By(team.to_owned(), field), directories(team, field, &groups, found));
        for (value, of_value) in groups.shown() {
            let id = Id::With(team.to_owned(), field, value.to_owned());
            preload::whole(id, links(of_value.iter().copied(), 2, found));
        }
    }
    preload::whole(Id::Mine(team.to_owned()), mine_of(found));
}

fn directories(
    team: &str,
    field: Field,
    groups: &Groups<'_, Issue>,
    found: &Pages<Issue>,
) -> Listing<Id> {
    let id = |value| Id::With(team.to_owned(), field, value);
    issues::bounded(groups.directories(id), found)
}

/// Links from so many levels below the directory of the issues.
fn links<'a>(
    shown: impl Iterator<Item = &'a Issue>,
    levels: u8,
    found: &Pages<Issue>,
) -> Listing<Id> {
    let link = |issue: &Issue| {
        let id = Id::Pointer(issue.id.clone(), issue.identifier.clone(), levels);
        Entry::symlink(&issue.identifier, id)
            .content(target(levels, &issue.identifier))
            .modified(issue.modified())
            .part_of(&issue.id())
    };
    issues::bounded(shown.map(link).collect::<Vec<_>>(), found)
}

pub fn target(levels: u8, identifier: &str) -> Content {
    document(format!("{}{identifier}", "../".repeat(levels.into())))
}

fn mine_of(found: &Pages<Issue>) -> Listing<Id> {
    let is_mine = |issue: &&Issue| issue.assignee.as_ref().is_some_and(|who| who.is_me);
    links(found.items.iter().filter(is_mine), 1, found)
}

/// `_by-label` and the like.
pub fn by(team: &str, field: Field) -> Result<Listing<Id>> {
    issues::over(&Id::Open(team.to_owned()), |found| {
        let groups = Groups::new(found.items.iter(), |issue| field.values(issue));
        directories(team, field, &groups, found)
    })
}

/// `_by-label/auth`.
pub fn with(team: &str, field: Field, value: &str) -> Result<Listing<Id>> {
    issues::over(&Id::Open(team.to_owned()), |found| {
        let groups = Groups::new(found.items.iter(), |issue| field.values(issue));
        links(groups.of(value).iter().copied(), 2, found)
    })
}

/// The open ones that are assigned to the user.
pub fn mine(team: &str) -> Result<Listing<Id>> {
    issues::over(&Id::Open(team.to_owned()), mine_of)
}
