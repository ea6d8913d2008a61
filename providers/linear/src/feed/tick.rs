//! One poll.

use super::cursor::{Cursor, Seen, hash, latest};
use super::{Names, RECHECK, issue_gone, issue_moved, tell_led};
use crate::api::{Nodes, OfComments, OfIssues, Page, ask_dated, ask_some, query};
use crate::{ISSUES, Id, OBJECTS};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;

/// Nodes that [`query::CHANGED`] asks for. A full page may not be all.
const FIRST: usize = 20;
const FIRST_OBJECTS: usize = 10;
const FIRST_TEAMS: usize = 50;

/// Pages of 250 changes that one poll reads. After a longer time away it is a gap.
const PAGES: usize = 8;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    /// Absent where only objects were asked for.
    issues: Option<Nodes<ChangedIssue>>,
    comments: Option<Nodes<ChangedComment>>,
    workflow_states: Nodes<OfTeam>,
    cycles: Nodes<OfTeam>,
    projects: Nodes<Object>,
    users: Nodes<Object>,
    issue_labels: Nodes<Object>,
    teams: Nodes<Team>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedIssue {
    id: String,
    created_at: String,
    updated_at: String,
    archived_at: Option<String>,
    trashed: Option<bool>,
    previous_identifiers: Vec<String>,
    team: TeamId,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedComment {
    id: String,
    created_at: String,
    updated_at: String,
    archived_at: Option<String>,
    issue_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct TeamId {
    id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTeam {
    id: String,
    updated_at: String,
    team: TeamId,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    id: String,
    updated_at: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Team {
    id: String,
    key: String,
    issue_count: u64,
}

/// What is new since the last poll, and what the next one must know.
struct Tick {
    before: Option<Cursor>,
    seen: Vec<Seen>,
    changes: Changes,
}

pub fn poll(position: &Position) -> Result<Progress> {
    let before = Cursor::of(position);
    let since = Cursor::since(before.as_ref(), position);
    let text = if position.scope == ISSUES { query::CHANGED } else { query::CHANGED_OBJECTS };
    let (mut changed, date): (Changed, _) = ask_dated(text, json!({ "since": since }))?;
    let now = date.ok_or_else(|| Error::Invalid("api: the answer has no Date".to_owned()))?;

    let mut tick = Tick { before, seen: Vec::new(), changes: Changes::default() };
    let checked = tick.before.as_ref().map_or(now, |before| before.checked);
    let recheck = now.saturating_sub(checked) >= RECHECK;
    if recheck || (position.cursor.is_some() && tick.before.is_none()) {
        tick.changes.gap(position.scope.as_str());
    }
    let teams = &changed.teams.nodes;
    let teams = (teams.len() < FIRST_TEAMS).then(|| Teams::of(teams));
    if let (Some(issues), Some(comments)) = (changed.issues.take(), changed.comments.take()) {
        tick.issues(&since, issues.nodes, &changed, teams.as_ref())?;
        tick.comments(&since, comments.nodes)?;
    }
    tick.objects(position, &changed, teams.as_ref())?;

    let Tick { before, seen, changes } = tick;
    // After the first poll nothing older than itself need be asked for.
    let mut next = before.clone().unwrap_or_else(|| Cursor::at(now * 1000));
    next.remember(seen);
    next.checked = if recheck { now } else { checked };
    next.issues = teams.as_ref().map(|teams| teams.issues);
    next.teams = teams.as_ref().map(|teams| teams.hash);
    let resumed = before.is_some() || (position.cursor.is_none() && position.since > 0);
    Ok(Progress { changes, cursor: next.text(), resumed, wait: None })
}

/// All teams there are.
struct Teams {
    ids: Vec<String>,
    issues: u64,
    hash: u32,
}

impl Teams {
    fn of(teams: &[Team]) -> Self {
        let mut keys: Vec<_> =
            teams.iter().map(|team| format!("{}={}", team.id, team.key)).collect();
        keys.sort_unstable();
        Teams {
            ids: teams.iter().map(|team| team.id.clone()).collect(),
            issues: teams.iter().map(|team| team.issue_count).sum(),
            hash: hash(&keys.join(" ")),
        }
    }
}

impl Tick {
    /// Whether the last poll has not told of this.
    fn is_new(&mut self, id: &str, at: u64) -> bool {
        let seen = Seen::new(id, at);
        self.seen.push(seen);
        !self.before.as_ref().is_some_and(|before| before.knows(seen))
    }

    /// Whether something made at this time is newer than all that the last poll saw.
    fn is_made_since(&self, created: &str) -> bool {
        self.before.as_ref().is_none_or(|before| latest(created, None) > before.mark)
    }

    fn issues(
        &mut self,
        since: &str,
        mut issues: Items<ChangedIssue>,
        changed: &Changed,
        teams: Option<&Teams>,
    ) -> Result<()> {
        if issues.len() == FIRST {
            let take = |data: OfIssues<Page<ChangedIssue>>| data.issues;
            let since = json!({ "since": since });
            let Pages { items, more } = ask_some(query::CHANGED_ISSUES, since, PAGES * 250, take)?;
            issues = items;
            if more {
                self.changes.gap(ISSUES);
            }
        }
        let (mut made, mut moved) = (0, Vec::new());
        for issue in issues.iter().cloned() {
            let at = latest(&issue.updated_at, issue.archived_at.as_deref());
            if !self.is_new(&issue.id, at) {
                continue;
            }
            made += u64::from(self.is_made_since(&issue.created_at));
            issue_moved(&issue.team.id, &mut self.changes);
            if issue.trashed == Some(true) {
                issue_gone(&issue.id, &mut self.changes);
                continue;
            }
            if !issue.previous_identifiers.is_empty() {
                moved.push(issue.id.clone());
            }
            self.changes.invalidated([Id::Issue(issue.id)]);
        }
        // From which team is not said.
        match teams {
            _ if moved.is_empty() => {}
            Some(teams) => teams.ids.iter().for_each(|team| issue_moved(team, &mut self.changes)),
            None => _ = self.changes.gap(ISSUES),
        }
        let counted = self.before.as_ref().and_then(|before| before.issues);
        if let (Some(counted), Some(teams)) = (counted, teams)
            && teams.issues < counted + made
        {
            self.changes.gap(ISSUES);
        }
        let mut names = Names::default();
        names.parents(&moved);
        self.names(changed, &mut names);
        names.tell(&mut self.changes)
    }

    /// The objects that issues name and that may have been renamed.
    fn names(&mut self, changed: &Changed, names: &mut Names) {
        fn ids<'a>(
            objects: impl Iterator<Item = (&'a String, &'a String)>,
            tick: &Tick,
        ) -> Vec<String> {
            // They are noted as seen in `objects`.
            let known = |id: &str, at: &str| {
                let seen = Seen::new(id, latest(at, None));
                tick.before.as_ref().is_some_and(|before| before.knows(seen))
            };
            objects.filter(|(id, at)| !known(id, at)).map(|(id, _)| id.clone()).collect()
        }
        let of_team = |objects: &Nodes<OfTeam>| {
            ids(objects.nodes.iter().map(|o| (&o.id, &o.updated_at)), self)
        };
        let object = |objects: &Nodes<Object>| {
            ids(objects.nodes.iter().map(|o| (&o.id, &o.updated_at)), self)
        };
        names.states(&of_team(&changed.workflow_states));
        names.cycles(&of_team(&changed.cycles));
        names.projects(&object(&changed.projects));
        names.labels(&object(&changed.issue_labels));
        names.people(&object(&changed.users));
    }

    fn comments(&mut self, since: &str, mut comments: Items<ChangedComment>) -> Result<()> {
        if comments.len() == FIRST {
            let take = |data: OfComments<Page<ChangedComment>>| data.comments;
            let since = json!({ "since": since });
            let Pages { items, more } =
                ask_some(query::CHANGED_COMMENTS, since, PAGES * 250, take)?;
            comments = items;
            if more {
                self.changes.gap(ISSUES);
            }
        }
        for comment in comments.iter().cloned() {
            let at = latest(&comment.updated_at, comment.archived_at.as_deref());
            if !self.is_new(&comment.id, at) {
                continue;
            }
            let made = self.is_made_since(&comment.created_at);
            if comment.archived_at.is_some() {
                self.changes.removed([Id::Comment(comment.id)]);
            } else {
                self.changes.invalidated([Id::Comment(comment.id)]);
                if !made {
                    continue;
                }
            }
            self.changes.children_changed(comment.issue_id.map(Id::Comments));
        }
        Ok(())
    }

    /// What changed among the objects themselves.
    fn objects(
        &mut self,
        position: &Position,
        changed: &Changed,
        teams: Option<&Teams>,
    ) -> Result<()> {
        let full = [changed.workflow_states.nodes.len(), changed.cycles.nodes.len()]
            .into_iter()
            .chain(
                [&changed.projects, &changed.users, &changed.issue_labels].map(|o| o.nodes.len()),
            )
            .any(|count| count == FIRST_OBJECTS);
        let renamed = match (self.before.as_ref().map(|before| before.teams), teams) {
            (Some(before), teams) => before != teams.map(|teams| teams.hash),
            (None, _) => false,
        };
        // A team's key is part of the identifier of its issues.
        if full || renamed {
            self.changes.gap(position.scope.as_str());
        }
        let mut tell = Changes::default();
        if renamed {
            tell.children_changed([Id::Teams]);
        }
        for state in changed.workflow_states.nodes.iter() {
            if self.is_new(&state.id, latest(&state.updated_at, None)) {
                let team = || state.team.id.clone();
                tell.invalidated([Id::State(state.id.clone())])
                    .children_changed([Id::States(team()), Id::ByState(team())]);
            }
        }
        for cycle in changed.cycles.nodes.iter() {
            if self.is_new(&cycle.id, latest(&cycle.updated_at, None)) {
                tell.invalidated([Id::Cycle(cycle.id.clone())])
                    .children_changed([Id::Cycles(cycle.team.id.clone())]);
            }
        }
        for project in changed.projects.nodes.iter() {
            if self.is_new(&project.id, latest(&project.updated_at, None)) {
                tell.invalidated([Id::Project(project.id.clone())])
                    .children_changed([Id::Projects]);
                match teams {
                    Some(Teams { ids, .. }) => {
                        tell.children_changed(ids.iter().cloned().map(Id::TeamProjects))
                    }
                    None => tell.gap(OBJECTS),
                };
            }
        }
        let mut people = Vec::new();
        for user in changed.users.nodes.iter() {
            if self.is_new(&user.id, latest(&user.updated_at, None)) {
                tell.invalidated([Id::User(user.id.clone())]).children_changed([Id::Users]);
                people.push(user.id.clone());
            }
        }
        for label in changed.issue_labels.nodes.iter() {
            self.is_new(&label.id, latest(&label.updated_at, None));
        }
        if position.scope == OBJECTS {
            tell_led(&people, &mut tell)?;
            self.changes.0.extend(tell.0);
        }
        Ok(())
    }
}
