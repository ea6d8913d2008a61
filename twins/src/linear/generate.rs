//! The demo's workspace, and teams of any size from a seed.

use super::data::{Comment, Cycle, Issue, Label, Project, State, Team, User, World};
use crate::rng::Rng;
use crate::text::{Text, awkward_titles};

const DAY: i64 = 86_400_000;
/// 2024-01-01, in milliseconds.
const BEGIN: i64 = 1_704_067_200_000;
/// 2026-01-05 09:00.
const END: i64 = 1_767_603_600_000;

/// A team to generate. Its issues are numbered from 1 without a gap; about half are open.
#[derive(Clone, Debug)]
pub struct TeamShape {
    pub key: String,
    pub name: String,
    pub issues: usize,
    /// Spread over about half of the issues.
    pub comments: usize,
    /// The highest numbers get the titles of [`crate::awkward_titles`].
    pub awkward: bool,
}

const PEOPLE: [(&str, &str); 6] = [
    ("mira", "Mira Okafor"),
    ("tomasz", "Tomasz Lis"),
    ("jun", "Jun Hayashi"),
    ("priya", "Priya Nair"),
    ("sofia", "Sofia Marino"),
    ("lars", "Lars Holm"),
];

const STATES: [(&str, &str, &str); 6] = [
    ("Backlog", "backlog", "#bec2c8"),
    ("Todo", "unstarted", "#e2e2e2"),
    ("In Progress", "started", "#f2c94c"),
    ("In Review", "started", "#0f783c"),
    ("Done", "completed", "#5e6ad2"),
    ("Canceled", "canceled", "#95a2b3"),
];

const LABELS: [(&str, &str); 4] =
    [("Bug", "#eb5757"), ("Feature", "#bb87fc"), ("auth", "#26b5ce"), ("area/api", "#4cb782")];

/// The people, labels and projects that every workspace has.
pub(crate) fn workspace(world: &mut World, rng: &mut Rng) {
    world.organization = rng.uuid();
    world.organization_name = "Acme".to_owned();
    world.url_key = "acme".to_owned();
    world.founded = BEGIN;
    for (display_name, name) in PEOPLE {
        let id = rng.uuid();
        if world.viewer.is_empty() {
            world.viewer.clone_from(&id);
        }
        let (name, display_name) = (name.to_owned(), display_name.to_owned());
        world
            .users
            .insert(id.clone(), User { id, name, display_name, created: BEGIN, updated: BEGIN });
    }
    for (name, color) in LABELS {
        let (id, name, color) = (rng.uuid(), name.to_owned(), color.to_owned());
        world.labels.insert(id.clone(), Label { id, name, color, created: BEGIN, updated: BEGIN });
    }
}

pub(crate) fn user(world: &World, display_name: &str) -> Option<String> {
    let mut users = world.users.values();
    users.find(|user| user.display_name == display_name).map(|user| user.id.clone())
}

pub(crate) fn label(world: &World, name: &str) -> Option<String> {
    world.labels.values().find(|label| label.name == name).map(|label| label.id.clone())
}

pub(crate) fn state(world: &World, team: &str, name: &str) -> Option<String> {
    let mut states = world.states.values();
    states.find(|state| state.team == team && state.name == name).map(|state| state.id.clone())
}

/// A team with its workflow, three cycles (past, current, next) and all people as members.
pub(crate) fn team(world: &mut World, key: &str, name: &str, rng: &mut Rng) -> String {
    let id = rng.uuid();
    let members = world.users.keys().cloned().collect();
    let (key, name) = (key.to_owned(), name.to_owned());
    let team =
        Team { id: id.clone(), key, name, members, created: BEGIN, updated: BEGIN, last_number: 0 };
    world.teams.insert(id.clone(), team);
    for (position, (name, kind, color)) in STATES.iter().enumerate() {
        let state = State {
            id: rng.uuid(),
            team: id.clone(),
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            color: (*color).to_owned(),
            position: position as f64,
            created: BEGIN,
            updated: BEGIN,
        };
        world.states.insert(state.id.clone(), state);
    }
    for (number, start) in [(11, END - 21 * DAY), (12, END - 7 * DAY), (13, END + 7 * DAY)] {
        let cycle = Cycle {
            id: rng.uuid(),
            team: id.clone(),
            number,
            name: (number == 12).then(|| "Sign-in week".to_owned()),
            starts: start,
            ends: start + 14 * DAY,
            created: BEGIN,
            updated: BEGIN,
        };
        world.cycles.insert(cycle.id.clone(), cycle);
    }
    id
}

pub(crate) fn project(
    world: &mut World,
    name: &str,
    about: &str,
    state: &str,
    team: &str,
    rng: &mut Rng,
) -> String {
    let id = rng.uuid();
    let project = Project {
        id: id.clone(),
        name: name.to_owned(),
        description: about.to_owned(),
        content: Some(format!("# {name}\n\n{about}\n")),
        state: state.to_owned(),
        lead: user(world, "mira"),
        teams: vec![team.to_owned()],
        slug: rng.hex(12),
        target: Some("2026-03-31".to_owned()),
        created: BEGIN,
        updated: BEGIN,
        archived: None,
    };
    world.projects.insert(id.clone(), project);
    id
}

fn blank(world: &World, team: &str, number: u64, state_name: &str, rng: &mut Rng) -> Issue {
    let created = END - 40 * DAY + number as i64 * 60_000;
    let state = state(world, team, state_name).unwrap_or_default();
    let kind = world.states.get(&state).map(|s| s.kind.clone()).unwrap_or_default();
    let after = |kinds: &[&str]| kinds.contains(&kind.as_str()).then_some(created + DAY);
    Issue {
        id: rng.uuid(),
        team: team.to_owned(),
        number,
        former: Vec::new(),
        title: Text::Title(rng.next()),
        description: Some(Text::Body(rng.next())),
        priority: 0,
        estimate: None,
        state,
        creator: user(world, "mira"),
        assignee: None,
        labels: Vec::new(),
        cycle: None,
        project: None,
        parent: None,
        due: None,
        created,
        updated: created + DAY,
        archived: None,
        trashed: false,
        started: after(&["started", "completed"]),
        completed: after(&["completed"]),
        canceled: after(&["canceled"]),
    }
}

pub(crate) fn fill_team(world: &mut World, shape: &TeamShape, seed: u64) {
    let mut rng = Rng::new(seed);
    let id = team(world, &shape.key, &shape.name, &mut rng);
    let people: Vec<String> = world.users.keys().cloned().collect();
    let labels: Vec<String> = world.labels.keys().cloned().collect();
    let cycles = world.cycles.values().filter(|cycle| cycle.team == id);
    let cycles: Vec<String> = cycles.map(|cycle| cycle.id.clone()).collect();
    let project =
        project(world, &format!("{} roadmap", shape.name), "The plan.", "started", &id, &mut rng);
    let awkward = if shape.awkward { awkward_titles() } else { Vec::new() };
    let count = shape.issues as u64;
    let plain = count.saturating_sub(awkward.len() as u64);
    let step = (END - BEGIN - DAY) / (count as i64 + 1);
    let mut ids = Vec::with_capacity(shape.issues);
    for number in 1..=count {
        let (name, ..) = rng.pick(&STATES);
        let mut issue = blank(world, &id, number, name, &mut rng);
        let title = number.checked_sub(plain + 1).and_then(|i| awkward.get(i as usize));
        if let Some(title) = title {
            issue.title = Text::Given(title.clone());
        }
        issue.created = BEGIN + step * number as i64;
        issue.updated = issue.created + rng.below((END - issue.created) as u64) as i64;
        issue.priority = rng.below(5) as u8;
        issue.estimate = rng.one_in(2).then(|| rng.pick(&[1.0, 2.0, 3.0, 5.0]));
        issue.assignee = (!rng.one_in(3)).then(|| people[rng.below(6) as usize].clone());
        issue.labels =
            if rng.one_in(2) { vec![labels[rng.below(4) as usize].clone()] } else { vec![] };
        issue.cycle = rng.one_in(4).then(|| cycles[rng.below(3) as usize].clone());
        issue.project = rng.one_in(4).then(|| project.clone());
        ids.push(issue.id.clone());
        world.add_issue(issue);
    }
    let talked_about = &ids[ids.len() / 2..];
    for index in 0..shape.comments {
        if talked_about.is_empty() {
            break;
        }
        let issue = talked_about[rng.below(talked_about.len() as u64) as usize].clone();
        let at = END - DAY + index as i64 * 1_000;
        let user = Some(people[rng.below(6) as usize].clone());
        comment(world, &issue, user, Text::Body(rng.next()), at, &mut rng);
    }
}

fn comment(
    world: &mut World,
    issue: &str,
    user: Option<String>,
    body: Text,
    at: i64,
    rng: &mut Rng,
) {
    let (id, issue) = (rng.uuid(), issue.to_owned());
    let (created, updated) = (at, at);
    world.add_comment(Comment {
        id,
        issue,
        user,
        parent: None,
        body,
        created,
        updated,
        edited: None,
    });
}

struct Story {
    number: u64,
    title: &'static str,
    about: &'static str,
    state: &'static str,
    priority: u8,
    assignee: &'static str,
    label: &'static str,
    comments: &'static [(&'static str, &'static str)],
}

const STORIES: [Story; 7] = [
    Story {
        number: 204,
        title: "Rotate auth tokens without signing people out",
        about: "The refresh must replace the token in the session and in the cache in one step.\n\n\
                - [x] find the race\n- [ ] fix it\n- [ ] alert on 401 after a refresh\n",
        state: "In Progress",
        priority: 2,
        assignee: "priya",
        label: "auth",
        comments: &[
            ("jun", "The race is in the session cache, see the API issue 2853."),
            ("priya", "Fix is in review."),
        ],
    },
    Story {
        number: 203,
        title: "Name API keys",
        about: "People cannot tell their keys apart. Needs a migration in the auth service.",
        state: "Todo",
        priority: 3,
        assignee: "tomasz",
        label: "Feature",
        comments: &[("sofia", "Customers ask for it every week.")],
    },
    Story {
        number: 201,
        title: "Login page: say which identity provider is used",
        about: "Support cannot tell from a screenshot.",
        state: "Backlog",
        priority: 0,
        assignee: "",
        label: "auth",
        comments: &[],
    },
    Story {
        number: 199,
        title: "Search is slow for workspaces with more than 10,000 projects",
        about: "p95 is 4 s, the aim is 400 ms.",
        state: "In Review",
        priority: 1,
        assignee: "lars",
        label: "Bug",
        comments: &[],
    },
    Story {
        number: 196,
        title: "Retry webhooks at the time the receiver names",
        about: "Honour `Retry-After`.",
        state: "Todo",
        priority: 3,
        assignee: "lars",
        label: "area/api",
        comments: &[],
    },
    Story {
        number: 188,
        title: "Refuse TLS 1.1",
        about: "Done with 1.8.0.",
        state: "Done",
        priority: 4,
        assignee: "tomasz",
        label: "Feature",
        comments: &[],
    },
    Story {
        number: 181,
        title: "Dark mode for the status page",
        about: "",
        state: "Canceled",
        priority: 0,
        assignee: "",
        label: "Feature",
        comments: &[],
    },
];

pub(crate) fn demo(world: &mut World, rng: &mut Rng) {
    let engineering = team(world, "ENG", "Engineering", rng);
    let operations = team(world, "OPS", "Operations", rng);
    let about = "Everything a person meets before the first page.";
    let sign_in = project(world, "Sign-in", about, "started", &engineering, rng);
    project(world, "Move to the new region", "Latency.", "planned", &operations, rng);
    for story in &STORIES {
        let mut issue = blank(world, &engineering, story.number, story.state, rng);
        issue.title = story.title.into();
        issue.description = (!story.about.is_empty()).then(|| story.about.into());
        issue.priority = story.priority;
        issue.assignee = user(world, story.assignee);
        issue.labels = label(world, story.label).into_iter().collect();
        if story.label == "auth" {
            issue.project = Some(sign_in.clone());
        }
        if story.number == 204 {
            issue.estimate = Some(3.0);
            issue.due = Some("2026-01-16".to_owned());
            let mut cycles = world.cycles.values();
            let current = cycles.find(|c| c.team == engineering && c.number == 12);
            issue.cycle = current.map(|cycle| cycle.id.clone());
        }
        let (id, created) = (issue.id.clone(), issue.created);
        world.add_issue(issue);
        for (index, (author, body)) in story.comments.iter().enumerate() {
            let at = created + DAY + index as i64 * 3_600_000;
            let user = user(world, author);
            comment(world, &id, user, (*body).into(), at, rng);
        }
    }
    let mut rename = blank(world, &operations, 17, "Todo", rng);
    rename.title = "Replace the certificate of the staging gateway".into();
    rename.description = Some("It ends on the first of February.".into());
    rename.priority = 1;
    world.add_issue(rename);
}
