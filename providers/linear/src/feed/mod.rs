//! What changed in the workspace, by polling and by webhooks.
//!
//! A poll asks for what was updated from a little before the newest update that it has seen, and for
//! what no such question shows: how many issues there are, and the teams with their keys. What neither
//! shows is bounded by [`RECHECK`]; SEMANTICS.md says of each kind of object what that is.

mod delivery;
mod moved;

pub use delivery::deliver;

use crate::api::{Nodes, OfComments, OfIssues, Page, ask_dated, ask_some, query};
use crate::{ISSUES, Id, OBJECTS};
use moved::{Kind, Moved, Node};
use omnifs_sdk::poll::since::Mark;
use omnifs_sdk::poll::{Poll, count, digest, once};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Seconds after which a poll says that it may have missed something.
const RECHECK: u64 = 600;

/// Milliseconds before the newest update within which an older one may still come to light.
const OVERLAP: u64 = 10_000;

/// How far back the first poll looks where nobody knows when the first answer was given, as Linear
/// reads a duration. A scope is polled as soon as its first answer is there, and an answer takes two
/// minutes at most.
const RECENTLY: &str = "-PT5M";

/// Issues or comments that one poll reads. After a longer time away it is a gap.
const MOST: usize = 2_000;

/// Teams that [`query::CHANGED`] asks for. A full page may not be all.
const FIRST_TEAMS: usize = 50;

#[derive(Debug, Default, Deserialize, Serialize)]
struct Cursor {
    mark: Mark<OVERLAP>,
    /// Issues there were in all teams, archived ones too, where they could be counted.
    issues: count::Total,
    /// The teams and their keys.
    teams: Option<u64>,
    /// What could not be read of the last answer.
    odd: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    /// Absent where only objects were asked for.
    issues: Option<Nodes<Node>>,
    comments: Option<Nodes<Node>>,
    workflow_states: Nodes<Node>,
    cycles: Nodes<Node>,
    projects: Nodes<Node>,
    users: Nodes<Node>,
    issue_labels: Nodes<Node>,
    teams: Nodes<Team>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Team {
    id: String,
    key: String,
    issue_count: u64,
}

pub fn poll(position: &Position) -> Result<Progress> {
    let text = match position.scope.as_str() {
        ISSUES => query::CHANGED,
        OBJECTS => query::CHANGED_OBJECTS,
        other => return Err(Error::Invalid(format!("there is no scope {other:?}"))),
    };
    once(position, RECHECK, |poll, cursor| changes(poll, cursor, text))
}

fn changes(poll: &mut Poll, cursor: &mut Cursor, text: &str) -> Result<()> {
    let Position { scope, since, cursor: held, .. } = poll.position;
    let since = match *since {
        _ if poll.resumed => time::rfc3339(cursor.mark.from()),
        0 => RECENTLY.to_owned(),
        since => time::rfc3339((since * 1000).saturating_sub(OVERLAP)),
    };
    let (changed, date): (Changed, _) = ask_dated(text, json!({ "since": since }))?;
    poll.note_time(date.ok_or_else(|| Error::Invalid("api: the answer has no Date".to_owned()))?);
    // What was made after this may not have been listed before.
    let (from, before) = (cursor.mark.from(), cursor.mark.at());
    cursor.mark.start(poll.beginning());
    let teams = changed.teams.nodes.clone();
    let teams = (teams.is_whole() && teams.len() < FIRST_TEAMS).then_some(teams);
    let issues = teams.as_ref().map(|all| all.iter().map(|team| team.issue_count).sum());
    let keys =
        teams.as_ref().map(|all| digest::sum(all.iter().map(|t| digest::of(&(&t.id, &t.key)))));

    let answer = changed.moved(from);
    let fresh = cursor.mark.clone().pass(poll.now(), answer.clone(), Moved::seen);
    let (answer, whole) = the_rest(answer, &fresh, &since, from)?;
    let odd = digest::of(&answer.odd().iter().map(Odd::to_string).collect::<Vec<_>>());
    let odd = poll.moved(&mut cursor.odd, odd, None) && !answer.is_whole();
    let news = cursor.mark.pass(poll.now(), answer, Moved::seen);

    let made = news.iter().filter(|moved| moved.is_issue_made_after(before)).count();
    let fell = cursor.issues.fell(issues, made) && scope == ISSUES;
    // A team's key is part of the identifier of its issues.
    let renamed = poll.moved(&mut cursor.teams, keys, None);
    if renamed && scope == OBJECTS {
        poll.changes.children_changed([Id::Teams]);
    }
    if !whole || odd || fell || renamed {
        poll.gap();
    }
    let teams: Option<Vec<_>> = teams.map(|all| all.iter().map(|team| team.id.clone()).collect());
    moved::tell(&news, teams.as_deref(), &[scope], &mut poll.changes)?;
    // Without a cursor, the time of the first answer proves it.
    poll.resumed |= held.is_none() && poll.position.since > 0;
    Ok(())
}

impl Changed {
    /// Everything that the answer tells of.
    fn moved(self, from: u64) -> Items<Moved> {
        let mut all = Items::default();
        for (kind, list) in [
            (Kind::Issue, self.issues),
            (Kind::Comment, self.comments),
            (Kind::State, Some(self.workflow_states)),
            (Kind::Cycle, Some(self.cycles)),
            (Kind::Project, Some(self.projects)),
            (Kind::User, Some(self.users)),
            (Kind::Label, Some(self.issue_labels)),
        ] {
            let nodes = list.map(|list| list.nodes).unwrap_or_default();
            all.append(nodes.map(|node| node.moved(kind, from)));
        }
        all
    }
}

/// Asks for all changes of a kind where all of its first page are new, and whether that is all.
fn the_rest(
    mut answer: Items<Moved>,
    fresh: &[Moved],
    since: &str,
    from: u64,
) -> Result<(Items<Moved>, bool)> {
    let full = |kind: Kind| fresh.iter().filter(|moved| moved.kind == kind).count() >= kind.first();
    let mut whole = true;
    for kind in [Kind::Issue, Kind::Comment].into_iter().filter(|kind| full(*kind)) {
        let variables = json!({ "since": since });
        let found = if kind == Kind::Issue {
            let take = |data: OfIssues<Page<Node>>| data.issues;
            ask_some(query::CHANGED_ISSUES, variables, MOST, take)?
        } else {
            let take = |data: OfComments<Page<Node>>| data.comments;
            ask_some(query::CHANGED_COMMENTS, variables, MOST, take)?
        };
        whole &= !found.more;
        answer.retain(|moved| moved.kind != kind);
        answer.append(found.items.map(|node| node.moved(kind, from)));
    }
    let others = [Kind::State, Kind::Cycle, Kind::Project, Kind::User, Kind::Label];
    Ok((answer, whole && !others.into_iter().any(full)))
}
