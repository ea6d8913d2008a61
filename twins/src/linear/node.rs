//! The fields of every object, by the names of the schema.

use serde_json::{Value, json};

use super::data::{Comment, Cycle, Issue, Label, PRIORITIES, Project, State, Team, User, World};
use crate::clock::iso_ms;
use crate::text::Text;

/// An object of the graph.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Organization,
    User(&'a User),
    Team(&'a Team),
    State(&'a State),
    Cycle(&'a Cycle),
    Project(&'a Project),
    /// The status of a project, by its type.
    Status(&'a str),
    Label(&'a Label),
    Issue(&'a Issue),
    /// An issue as a search shows it.
    Hit(&'a Issue),
    Comment(&'a Comment),
}

/// What a field holds.
pub(crate) enum Out<'a> {
    Value(Value),
    Node(Option<Node<'a>>),
    /// All entries of a connection, not yet filtered or cut.
    Many(Vec<Node<'a>>),
}

fn time(ms: Option<i64>) -> Value {
    ms.map(iso_ms).into()
}

/// A `Float` as a JavaScript server writes it: whole numbers without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

impl<'a> Node<'a> {
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Organization => "Organization",
            Self::User(_) => "User",
            Self::Team(_) => "Team",
            Self::State(_) => "WorkflowState",
            Self::Cycle(_) => "Cycle",
            Self::Project(_) => "Project",
            Self::Status(_) => "ProjectStatus",
            Self::Label(_) => "IssueLabel",
            Self::Issue(_) => "Issue",
            Self::Hit(_) => "IssueSearchResult",
            Self::Comment(_) => "Comment",
        }
    }

    pub fn id(self) -> &'a str {
        match self {
            Self::Organization => "organization",
            Self::User(user) => &user.id,
            Self::Team(team) => &team.id,
            Self::State(state) => &state.id,
            Self::Cycle(cycle) => &cycle.id,
            Self::Project(project) => &project.id,
            Self::Status(kind) => kind,
            Self::Label(label) => &label.id,
            Self::Issue(issue) | Self::Hit(issue) => &issue.id,
            Self::Comment(comment) => &comment.id,
        }
    }

    /// Milliseconds: created and updated.
    pub fn times(self, world: &World) -> (i64, i64) {
        match self {
            Self::Organization | Self::Status(_) => (world.founded, world.founded),
            Self::User(user) => (user.created, user.updated),
            Self::Team(team) => (team.created, team.updated),
            Self::State(state) => (state.created, state.updated),
            Self::Cycle(cycle) => (cycle.created, cycle.updated),
            Self::Project(project) => (project.created, project.updated),
            Self::Label(label) => (label.created, label.updated),
            Self::Issue(issue) | Self::Hit(issue) => (issue.created, issue.updated),
            Self::Comment(comment) => (comment.created, comment.updated),
        }
    }

    pub fn archived(self) -> Option<i64> {
        match self {
            Self::Issue(issue) | Self::Hit(issue) => issue.archived,
            Self::Project(project) => project.archived,
            _ => None,
        }
    }

    /// `now` in milliseconds decides which cycle is active. Nothing: no such field here.
    pub fn get(self, world: &'a World, field: &str, now: i64) -> Option<Out<'a>> {
        let (created, updated) = self.times(world);
        let value = match (field, self) {
            ("id", Self::Organization) => json!(world.organization),
            ("id", Self::Status(kind)) => json!(format!("{}-{kind}", &world.organization[..23])),
            ("id", _) => json!(self.id()),
            ("createdAt", _) => iso_ms(created).into(),
            ("updatedAt", _) => iso_ms(updated).into(),
            ("archivedAt", _) => time(self.archived()),
            (_, Self::Organization) => return organization(world, field),
            (_, Self::User(user)) => return user_field(world, user, field),
            (_, Self::Team(team)) => return team_field(world, team, field, now),
            (_, Self::State(state)) => return state_field(world, state, field),
            (_, Self::Cycle(cycle)) => return cycle_field(world, cycle, field, now),
            (_, Self::Project(project)) => return project_field(world, project, field),
            ("name" | "type", Self::Status(kind)) => json!(kind),
            ("color", Self::Status(_)) => json!("#bec2c8"),
            ("position", Self::Status(_)) => json!(0),
            ("indefinite", Self::Status(_)) => json!(false),
            ("description", Self::Status(_)) => Value::Null,
            (_, Self::Status(_)) => return None,
            (_, Self::Label(label)) => return label_field(world, label, field),
            (_, Self::Issue(issue) | Self::Hit(issue)) => return issue_field(world, issue, field),
            (_, Self::Comment(comment)) => return comment_field(world, comment, field),
        };
        Some(Out::Value(value))
    }
}

fn organization<'a>(world: &'a World, field: &str) -> Option<Out<'a>> {
    Some(Out::Value(match field {
        "name" => json!(world.organization_name),
        "urlKey" => json!(world.url_key),
        "logoUrl" => Value::Null,
        "userCount" => json!(world.users.len()),
        "users" => return Some(Out::Many(world.users.values().map(Node::User).collect())),
        "teams" => return Some(Out::Many(world.teams.values().map(Node::Team).collect())),
        "labels" => return Some(Out::Many(world.labels.values().map(Node::Label).collect())),
        _ => return None,
    }))
}

fn user_field<'a>(world: &'a World, user: &'a User, field: &str) -> Option<Out<'a>> {
    let issues = |mine: fn(&Issue) -> Option<&String>| {
        let issues = world.issues.values().filter(move |issue| mine(issue) == Some(&user.id));
        Some(Out::Many(issues.map(Node::Issue).collect()))
    };
    Some(Out::Value(match field {
        "name" => json!(user.name),
        "displayName" => json!(user.display_name),
        "email" => json!(format!("{}@acme.example", user.display_name)),
        "active" => json!(true),
        "admin" | "isMe" => json!(user.id == world.viewer),
        "app" | "guest" => json!(false),
        "avatarUrl" | "description" | "title" => Value::Null,
        "timezone" => json!("Europe/Berlin"),
        "url" => json!(world.url(&format!("profiles/{}", user.display_name))),
        "organization" => return Some(Out::Node(Some(Node::Organization))),
        "assignedIssues" => return issues(|issue| issue.assignee.as_ref()),
        "createdIssues" => return issues(|issue| issue.creator.as_ref()),
        "teams" => {
            let teams = world.teams.values().filter(|team| team.members.contains(&user.id));
            return Some(Out::Many(teams.map(Node::Team).collect()));
        }
        _ => return None,
    }))
}

fn team_field<'a>(world: &'a World, team: &'a Team, field: &str, now: i64) -> Option<Out<'a>> {
    let of_team = |id: &String| *id == team.id;
    Some(Out::Value(match field {
        "key" => json!(team.key),
        "name" | "displayName" => json!(team.name),
        "color" => json!("#5e6ad2"),
        "description" | "icon" => Value::Null,
        "private" => json!(false),
        "timezone" => json!("Europe/Berlin"),
        "issueCount(includeArchived)" => {
            json!(world.issues.values().filter(|issue| of_team(&issue.team)).count())
        }
        "issueCount" => {
            json!(
                world.issues.values().filter(|i| of_team(&i.team) && i.archived.is_none()).count()
            )
        }
        "organization" => return Some(Out::Node(Some(Node::Organization))),
        "activeCycle" => {
            let mut cycles = world.cycles.values().filter(|cycle| of_team(&cycle.team));
            let active = cycles.find(|cycle| cycle.starts <= now && now < cycle.ends);
            return Some(Out::Node(active.map(Node::Cycle)));
        }
        "issues" => {
            let issues = world.issues.values().filter(|issue| of_team(&issue.team));
            return Some(Out::Many(issues.map(Node::Issue).collect()));
        }
        "states" => {
            let states = world.states.values().filter(|state| of_team(&state.team));
            return Some(Out::Many(states.map(Node::State).collect()));
        }
        "cycles" => {
            let cycles = world.cycles.values().filter(|cycle| of_team(&cycle.team));
            return Some(Out::Many(cycles.map(Node::Cycle).collect()));
        }
        "projects" => {
            let projects = world.projects.values().filter(|p| p.teams.contains(&team.id));
            return Some(Out::Many(projects.map(Node::Project).collect()));
        }
        "members" => {
            let members = team.members.iter().filter_map(|id| world.users.get(id));
            return Some(Out::Many(members.map(Node::User).collect()));
        }
        "labels" => return Some(Out::Many(world.labels.values().map(Node::Label).collect())),
        _ => return None,
    }))
}

fn state_field<'a>(world: &'a World, state: &'a State, field: &str) -> Option<Out<'a>> {
    Some(Out::Value(match field {
        "name" => json!(state.name),
        "type" => json!(state.kind),
        "color" => json!(state.color),
        "position" => number(state.position),
        "description" => Value::Null,
        "team" => return Some(Out::Node(world.teams.get(&state.team).map(Node::Team))),
        "issues" => {
            let issues = world.issues.values().filter(|issue| issue.state == state.id);
            return Some(Out::Many(issues.map(Node::Issue).collect()));
        }
        _ => return None,
    }))
}

fn cycle_field<'a>(world: &'a World, cycle: &'a Cycle, field: &str, now: i64) -> Option<Out<'a>> {
    let (past, future) = (cycle.ends <= now, cycle.starts > now);
    let inside = || world.issues.values().filter(|issue| issue.cycle.as_ref() == Some(&cycle.id));
    Some(Out::Value(match field {
        "number" => json!(cycle.number),
        "name" => json!(cycle.name),
        "description" => Value::Null,
        "startsAt" => iso_ms(cycle.starts).into(),
        "endsAt" => iso_ms(cycle.ends).into(),
        "completedAt" => time(past.then_some(cycle.ends)),
        "isActive" => json!(!past && !future),
        "isPast" => json!(past),
        "isFuture" => json!(future),
        "isNext" => json!(future && cycle.starts - now < cycle.ends - cycle.starts),
        "isPrevious" => json!(past && now - cycle.ends < cycle.ends - cycle.starts),
        "progress" => {
            let done = inside().filter(|issue| issue.completed.is_some()).count();
            number(done as f64 / inside().count().max(1) as f64)
        }
        "team" => return Some(Out::Node(world.teams.get(&cycle.team).map(Node::Team))),
        "issues" => return Some(Out::Many(inside().map(Node::Issue).collect())),
        _ => return None,
    }))
}

fn project_field<'a>(world: &'a World, project: &'a Project, field: &str) -> Option<Out<'a>> {
    let is = |state: &str| project.state == state;
    let inside = || world.issues.values().filter(|i| i.project.as_ref() == Some(&project.id));
    let changed = time(Some(project.updated));
    Some(Out::Value(match field {
        "name" => json!(project.name),
        "description" => json!(project.description),
        "content" => json!(project.content),
        "color" => json!("#bec2c8"),
        "icon" => Value::Null,
        "slugId" => json!(project.slug),
        "state" => json!(project.state),
        "priority" => json!(0),
        "priorityLabel" => json!(PRIORITIES[0]),
        "startDate" => Value::Null,
        "targetDate" => json!(project.target),
        "startedAt" => {
            if is("started") || is("completed") {
                changed
            } else {
                Value::Null
            }
        }
        "completedAt" => {
            if is("completed") {
                changed
            } else {
                Value::Null
            }
        }
        "canceledAt" => {
            if is("canceled") {
                changed
            } else {
                Value::Null
            }
        }
        "trashed" => Value::Null,
        "url" => json!(world.url(&format!("project/{}", project.slug))),
        "progress" => {
            let done = inside().filter(|issue| issue.completed.is_some()).count();
            number(done as f64 / inside().count().max(1) as f64)
        }
        "status" => return Some(Out::Node(Some(Node::Status(&project.state)))),
        "lead" | "creator" => {
            let lead = project.lead.as_ref().and_then(|id| world.users.get(id));
            return Some(Out::Node(lead.map(Node::User)));
        }
        "members" => {
            let members = project.lead.iter().filter_map(|id| world.users.get(id));
            return Some(Out::Many(members.map(Node::User).collect()));
        }
        "teams" | "accessibleTeams" => {
            let teams = project.teams.iter().filter_map(|id| world.teams.get(id));
            return Some(Out::Many(teams.map(Node::Team).collect()));
        }
        "issues" => return Some(Out::Many(inside().map(Node::Issue).collect())),
        "comments" => return Some(Out::Many(Vec::new())),
        _ => return None,
    }))
}

fn label_field<'a>(world: &'a World, label: &'a Label, field: &str) -> Option<Out<'a>> {
    Some(Out::Value(match field {
        "name" => json!(label.name),
        "color" => json!(label.color),
        "description" => Value::Null,
        "isGroup" => json!(false),
        "creator" | "parent" | "team" => return Some(Out::Node(None)),
        "issues" => {
            let issues = world.issues.values().filter(|issue| issue.labels.contains(&label.id));
            return Some(Out::Many(issues.map(Node::Issue).collect()));
        }
        _ => return None,
    }))
}

fn issue_field<'a>(world: &'a World, issue: &'a Issue, field: &str) -> Option<Out<'a>> {
    let user = |id: Option<&String>| {
        Some(Out::Node(id.and_then(|id| world.users.get(id)).map(Node::User)))
    };
    let identifier = || world.identifier(issue);
    Some(Out::Value(match field {
        "identifier" => json!(identifier()),
        "number" => json!(issue.number),
        "previousIdentifiers" => json!(issue.former),
        "title" => json!(issue.title.get()),
        "description" => json!(issue.description.as_ref().map(Text::get)),
        "priority" => json!(issue.priority),
        "priorityLabel" => json!(PRIORITIES.get(usize::from(issue.priority))),
        "estimate" => issue.estimate.map(number).into(),
        "dueDate" => json!(issue.due),
        "sortOrder" => json!(-(issue.number as i64)),
        "trashed" => {
            if issue.trashed {
                json!(true)
            } else {
                Value::Null
            }
        }
        "startedAt" => time(issue.started),
        "completedAt" => time(issue.completed),
        "canceledAt" => time(issue.canceled),
        "autoArchivedAt" => Value::Null,
        "labelIds" => json!(issue.labels),
        "branchName" => json!(format!("mira/{}", identifier().to_lowercase())),
        "url" => json!(world.url(&format!("issue/{}", identifier()))),
        "state" => return Some(Out::Node(world.states.get(&issue.state).map(Node::State))),
        "team" => return Some(Out::Node(world.teams.get(&issue.team).map(Node::Team))),
        "assignee" => return user(issue.assignee.as_ref()),
        "creator" => return user(issue.creator.as_ref()),
        "cycle" => {
            let cycle = issue.cycle.as_ref().and_then(|id| world.cycles.get(id));
            return Some(Out::Node(cycle.map(Node::Cycle)));
        }
        "project" => {
            let project = issue.project.as_ref().and_then(|id| world.projects.get(id));
            return Some(Out::Node(project.map(Node::Project)));
        }
        "parent" => {
            let parent = issue.parent.as_ref().and_then(|id| world.issues.get(id));
            return Some(Out::Node(parent.map(Node::Issue)));
        }
        "children" => {
            let children = world.issues.values().filter(|i| i.parent.as_ref() == Some(&issue.id));
            return Some(Out::Many(children.map(Node::Issue).collect()));
        }
        "labels" => {
            let labels = issue.labels.iter().filter_map(|id| world.labels.get(id));
            return Some(Out::Many(labels.map(Node::Label).collect()));
        }
        "comments" => {
            let ids = world.comments_of.get(&issue.id).into_iter().flatten();
            let comments = ids.filter_map(|id| world.comments.get(id));
            return Some(Out::Many(comments.map(Node::Comment).collect()));
        }
        _ => return None,
    }))
}

fn comment_field<'a>(world: &'a World, comment: &'a Comment, field: &str) -> Option<Out<'a>> {
    let parent = || comment.parent.as_ref().and_then(|id| world.comments.get(id));
    Some(Out::Value(match field {
        "body" => json!(comment.body.get()),
        "issueId" => json!(comment.issue),
        "parentId" => json!(comment.parent),
        "editedAt" => time(comment.edited),
        "resolvedAt" => Value::Null,
        "url" => {
            let issue = world.issues.get(&comment.issue).map(|issue| world.identifier(issue));
            let issue = issue.unwrap_or_default();
            json!(world.url(&format!("issue/{issue}#comment-{}", &comment.id[..8])))
        }
        "issue" => return Some(Out::Node(world.issues.get(&comment.issue).map(Node::Issue))),
        "user" => {
            let user = comment.user.as_ref().and_then(|id| world.users.get(id));
            return Some(Out::Node(user.map(Node::User)));
        }
        "parent" => return Some(Out::Node(parent().map(Node::Comment))),
        "children" => {
            let siblings = world.comments_of.get(&comment.issue).into_iter().flatten();
            let siblings = siblings.filter_map(|id| world.comments.get(id));
            let children = siblings.filter(|c| c.parent.as_ref() == Some(&comment.id));
            return Some(Out::Many(children.map(Node::Comment).collect()));
        }
        _ => return None,
    }))
}
