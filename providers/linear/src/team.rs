//! Teams, their states and cycles.

use crate::api::{
    Cycle, Nodes, OfCycle, OfCycles, OfState, OfStates, OfTeam, OfTeams, Page, State, Team,
    TeamKey, ask, ask_all, ask_some, query,
};
use crate::{Id, issues, views};
use omnifs_sdk::*;
use serde_json::json;

/// What a team's directory holds.
pub fn entries(team: &str) -> [(&'static str, Id); 5] {
    let id = team.to_owned();
    [
        ("issues", Id::TeamIssues(id.clone())),
        ("cycles", Id::Cycles(id.clone())),
        ("projects", Id::TeamProjects(id.clone())),
        ("members", Id::Members(id.clone())),
        ("states", Id::States(id)),
    ]
}

/// What a team's directory of issues shows. Each issue by its identifier, and the table of all, are found by
/// name alone: who asks for the size of a table, as `ls -l` does of all, has it listed.
pub fn issue_entries(team: &str) -> Vec<(&'static str, Id)> {
    let id = || team.to_owned();
    let mut entries = vec![
        ("_open", Id::Open(id())),
        ("_open.tsv", Id::OpenTable(id(), Form::Tsv)),
        ("_open.jsonl", Id::OpenTable(id(), Form::Jsonl)),
        ("_all", Id::All(id())),
        ("by-state", Id::ByState(id())),
        ("_search", Id::Searches(id())),
    ];
    entries.extend(views::entries(team));
    entries
}

/// What it does not show.
pub fn beside(team: &str, name: &str) -> Result<Entry<Id>> {
    let form = name.strip_prefix("_all.").and_then(|form| form.parse().ok());
    match form {
        Some(form) => Ok(Entry::file(name, Id::AllTable(team.to_owned(), form))),
        None => issues::find(&Id::All(team.to_owned()), name),
    }
}

pub fn list() -> Result<Listing<Id>> {
    let take = |data: OfTeams<Page<TeamKey>>| data.teams;
    let teams = ask_all(query::TEAMS, json!({}), take)?;
    Ok(teams.map(|team| Entry::directory(team.key, Id::Team(team.id))).into())
}

/// A team by its key. Its states come along, and with the directories between they are offered from
/// the top down, so that the host knows where they belong.
pub fn find(key: &str) -> Result<Entry<Id>> {
    if key.is_empty() || key.len() > 32 || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::NotFound);
    }
    let found: OfTeams<Nodes<Team>> = ask(query::TEAM, json!({ "key": key }))?;
    let team = found.teams.nodes.one()?;
    let directories = |entries: &[(&'static str, Id)]| -> Vec<Entry<Id>> {
        entries.iter().cloned().map(Entry::fixed).collect()
    };
    // A page that is full may not be all.
    if team.states.nodes.len() < 100 {
        preload::whole(Id::Team(team.id.clone()), directories(&entries(&team.id)));
        preload::whole(Id::TeamIssues(team.id.clone()), directories(&issue_entries(&team.id)));
        preload::whole(
            Id::ByState(team.id.clone()),
            directories_by_state(&team.id, &team.states.nodes),
        );
        preload::whole(Id::States(team.id.clone()), objects(&team.states.nodes));
    }
    Ok(Entry::directory(team.key, Id::Team(team.id)))
}

fn states_of(team: &str) -> Result<Items<State>> {
    let take = |data: OfTeam<OfStates<Page<State>>>| data.team.states;
    ask_all(query::STATES, json!({ "team": team }), take)
}

fn directories_by_state(team: &str, states: &Items<State>) -> Listing<Id> {
    let entry = |state: &State| {
        Entry::directory(&state.name, Id::InState(state.id.clone()))
            .part_of(&Id::InStates(team.to_owned()))
            .tie(&state.id)
    };
    ordered(states).map(|state| entry(&state)).into()
}

fn objects(states: &Items<State>) -> Listing<Id> {
    ordered(states).map(|state| Entry::object(&state.name, &state).tie(&state.id)).into()
}

/// As a board shows them: within a type by position. Two may have one name, of different types.
fn ordered(states: &Items<State>) -> Items<State> {
    const TYPES: [&str; 7] =
        ["triage", "backlog", "unstarted", "started", "completed", "canceled", "duplicate"];
    let place = |state: &State| TYPES.iter().position(|kind| *kind == state.kind);
    let mut ordered = states.clone();
    ordered.sort_by(|a, b| {
        let by_position = a.position.total_cmp(&b.position);
        place(a).cmp(&place(b)).then(by_position).then(a.id.cmp(&b.id))
    });
    ordered
}

pub fn by_state(team: &str) -> Result<Listing<Id>> {
    let states = states_of(team)?;
    preload::whole(Id::States(team.to_owned()), objects(&states));
    Ok(directories_by_state(team, &states))
}

pub fn states(team: &str) -> Result<Listing<Id>> {
    let states = states_of(team)?;
    preload::whole(Id::ByState(team.to_owned()), directories_by_state(team, &states));
    Ok(objects(&states))
}

pub fn state(id: &str) -> Result<State> {
    Ok(ask::<OfState<State>>(query::STATE, json!({ "id": id }))?.workflow_state)
}

impl Object for State {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |s: &Self| scalar(&s.id)).immutable(),
        leaf("name", |s| scalar(&s.name)),
        leaf("type", |s| scalar(&s.kind)),
        leaf("color", |s| scalar(&s.color)),
        leaf("position", |s| scalar(s.position)),
        leaf("description.md", |s| document(s.description.as_deref().unwrap_or_default())),
        leaf("created", |s: &Self| scalar(&s.created_at)),
        leaf("updated", |s| scalar(&s.updated_at)),
        leaf("state.json", json),
    ];

    fn id(&self) -> Id {
        Id::State(self.id.clone())
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.updated_at)
    }
}

/// The newest of them; a cycle beyond is found by its number.
pub fn cycles(team: &str) -> Result<Listing<Id>> {
    const BOUND: usize = 250;
    let variables = json!({ "team": team, "first": BOUND });
    let take = |data: OfTeam<OfCycles<Page<Cycle>>>| data.team.cycles;
    let Pages { items, more } = ask_some(query::CYCLES, variables, BOUND, take)?;
    let entries = items.map(|cycle| Entry::object(cycle.number.to_string(), &cycle));
    Ok(if more {
        Listing::partial(entries, format!("the {BOUND} newest cycles; others are found by number"))
    } else {
        entries.into()
    })
}

pub fn cycle_of(team: &str, name: &str) -> Result<Entry<Id>> {
    let number: u32 = name.parse().map_err(|_| Error::NotFound)?;
    let variables = json!({ "team": team, "number": number });
    let found: OfCycles<Nodes<Cycle>> = ask(query::CYCLE_OF, variables)?;
    let cycle = found.cycles.nodes.one()?;
    Ok(Entry::object(cycle.number.to_string(), &cycle))
}

pub fn cycle(id: &str) -> Result<Cycle> {
    Ok(ask::<OfCycle<Cycle>>(query::CYCLE, json!({ "id": id }))?.cycle)
}

impl Object for Cycle {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |c: &Self| scalar(&c.id)).immutable(),
        leaf("number", |c: &Self| scalar(c.number)).immutable(),
        leaf("name", |c| optional(c.name.as_ref())),
        leaf("description.md", |c| document(c.description.as_deref().unwrap_or_default())),
        leaf("starts", |c| scalar(&c.starts_at)),
        leaf("ends", |c| scalar(&c.ends_at)),
        leaf("completed", |c| optional(c.completed_at.as_ref())),
        leaf("created", |c: &Self| scalar(&c.created_at)),
        leaf("updated", |c| scalar(&c.updated_at)),
        leaf("cycle.json", json),
    ];

    fn id(&self) -> Id {
        Id::Cycle(self.id.clone())
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.updated_at)
    }
}
