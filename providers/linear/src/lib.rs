//! Linear as files: teams with their issues, cycles, projects, members and states; all projects and
//! users; the issues of the one whose credential it is.
//!
//! Every object is known by its UUID, so an issue that changes its title, state or team stays the
//! same node. Two scopes cover everything, each polled by itself (see [`feed`]):
//!
//! - [`ISSUES`]: issues, their comments and every directory that shows issues. It is one scope for
//!   all teams because an issue that leaves a team shows in no query about that team.
//! - [`OBJECTS`]: teams, states, cycles, projects, users.
//!
//! No file holds what changes by itself: neither the progress of a cycle or project nor which cycle
//! is the active one.
//!
//! A listing of issues costs one request for 50 issues with every leaf, labels and up to
//! [`issues::INLINE`] comments each; issues with more share requests of up to 250 comments. Points
//! (a tenth for a property, one for an object, multiplied by the size of the page around it) are
//! counted in a test: Linear refuses a query of more than 10,000 and grants 250,000 in an hour.

mod api;
mod comment;
mod feed;
mod guide;
mod issue;
mod issues;
mod person;
mod project;
mod search;
mod team;
mod views;

#[doc(hidden)]
pub use api::query;

use omnifs_sdk::manifest::{
    Credential, Endpoint, Feed, Limits, Method, OAuth, Probe, ResetUnit, Setting, Signature,
    Timestamp, TimestampPlace, TimestampUnit, Window, WindowName,
};
use omnifs_sdk::*;
use views::Field;

/// The scope of issues and comments.
pub const ISSUES: &str = "workspace:issues";

/// The scope of everything that issues refer to.
pub const OBJECTS: &str = "workspace:objects";

ids! {
    pub enum Id {
        _: scoped(OBJECTS),
        Root = "root", Teams = "teams", Projects = "projects", Users = "users", My = "my",
        Team(id: String) = "team", TeamIssues(team: String) = "team-issues": scoped(ISSUES),
        Cycles(team: String) = "team-cycles", Cycle(id: String) = "cycle",
        TeamProjects(team: String) = "team-projects", Project(id: String) = "project",
        /// Nothing tells who joined a team or left it.
        Members(team: String) = "team-members": volatile(), User(id: String) = "user",
        States(team: String) = "team-states", State(id: String) = "state",
        ByState(team: String) = "team-by-state",
        /// Shown nowhere: the tables of issues are part of it.
        Index = "index": scoped(ISSUES),
        OpenTable(team: String, form: Form) = "open-table": scoped(ISSUES),
        AllTable(team: String, form: Form) = "all-table": scoped(ISSUES),
        Open(team: String) = "open": scoped(ISSUES), All(team: String) = "all": scoped(ISSUES),
        By(team: String, field: Field) = "by": scoped(ISSUES),
        With(team: String, field: Field, value: String) = "with": scoped(ISSUES),
        Mine(team: String) = "mine": scoped(ISSUES),
        /// A link from so many levels below the directory of the issues.
        Pointer(issue: String, identifier: String, levels: u8) = "pointer": scoped(ISSUES),
        /// Nothing tells when the index that Linear searches has a change: what it finds is of its own time.
        Searches(team: String) = "searches": volatile(),
        Search(team: String, term: String) = "search": volatile(),
        Results(team: String, term: String, form: Form) = "results": volatile(),
        Hit(identifier: String) = "hit": immutable(),
        InState(state: String) = "in-state": scoped(ISSUES),
        Assigned = "assigned": scoped(ISSUES), Created = "created": scoped(ISSUES),
        Issue(id: String) = "issue": scoped(ISSUES),
        Comments(issue: String) = "comments": scoped(ISSUES),
        Comment(id: String) = "comment": scoped(ISSUES),
        /// Shown nowhere: the directories of a team's states are part of it, because a changed
        /// issue does not say which state it left.
        InStates(team: String) = "team-in-states": scoped(ISSUES),
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed([("teams", Teams), ("projects", Projects), ("users", Users), ("my", My)]),
            Teams => searchable((), |()| team::list(), |(), key| team::find(key)),
            Team(id) => fixed(team::entries(&id)),
            TeamIssues(team) => {
                fixed(team::issue_entries(&team)).beyond(move |name| team::beside(&team, name))
            }
            OpenTable(team, form) => file(move || issues::table(&Open(team), form)),
            AllTable(team, form) => file(move || issues::table(&All(team), form)),
            By(team, field) => listing(move || views::by(&team, field)),
            With(team, field, value) => listing(move || views::with(&team, field, &value)),
            Mine(team) => listing(move || views::mine(&team)),
            Pointer(_, identifier, levels) => file(move || Ok(views::target(levels, &identifier))),
            Searches(team) => {
                open_ended(team, |_| Ok(Vec::new()), |team, term| search::named(team, term))
            }
            Search(team, term) => searchable(
                (team, term),
                |(team, term)| search::list(team, term),
                |(team, term), name| search::find(team, term, name),
            ),
            Results(team, term, form) => file(move || search::results(&team, &term, form)),
            Hit(identifier) => file(move || Ok(views::target(2, &identifier))),
            ByState(team) => listing(move || team::by_state(&team)),
            States(team) => listing(move || team::states(&team)),
            State(id) => object(move || team::state(&id)),
            Cycles(team) => {
                open_ended(team, |t| team::cycles(t), |t, name| team::cycle_of(t, name))
            }
            Cycle(id) => object(move || team::cycle(&id)),
            TeamProjects(team) => listing(move || project::of_team(&team)),
            Projects => listing(project::list),
            Project(id) => object(move || project::fetch(&id)),
            Members(team) => listing(move || person::members(&team)),
            Users => searchable((), |()| person::list(), |(), name| person::find(name)),
            User(id) => object(move || person::fetch(&id)),
            My => fixed([("assigned", Assigned), ("created", Created)]),
            Open(_) | All(_) | InState(_) | Assigned | Created => {
                open_ended(self, issues::list, issues::find)
            }
            Issue(id) => object(move || issues::fetch(&id)),
            Comments(issue) => {
                searchable(issue, |i| comment::list(i), |i, name| comment::find(i, name))
            }
            Comment(id) => file(move || comment::read(&id)),
            InStates(_) | Index => fixed([]),
        }
    }

    fn whole(&self) -> Option<Id> {
        use Id::*;
        let is_made_of_all =
            matches!(self, OpenTable(..) | AllTable(..) | By(..) | With(..) | Mine(_));
        is_made_of_all.then_some(Index)
    }
}

/// linear.app/developers, "Rate limiting".
const LIMITS: Limits = Limits {
    windows: &[
        window(
            "requests",
            "x-ratelimit-requests-limit",
            "x-ratelimit-requests-remaining",
            "x-ratelimit-requests-reset",
            None,
        ),
        window(
            "complexity",
            "x-ratelimit-complexity-limit",
            "x-ratelimit-complexity-remaining",
            "x-ratelimit-complexity-reset",
            Some("x-complexity"),
        ),
    ],
    throttled: &["ratelimited"],
    slow_down: &[],
};

/// A leaking bucket: what is left rises all the time.
const fn window(
    name: &'static str,
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
    cost: Option<&'static str>,
) -> Window {
    let reset_unit = ResetUnit::EpochMilliseconds;
    Window {
        name: WindowName::Fixed(name),
        limit,
        remaining,
        reset,
        reset_unit,
        cost,
        fixed: false,
    }
}

/// linear.app/developers, "Webhooks".
const SIGNATURE: Signature = Signature {
    timestamp: Some(Timestamp {
        at: TimestampPlace::Body("/webhookTimestamp"),
        unit: TimestampUnit::Milliseconds,
    }),
    pass: &["linear-*"],
    ..Signature::new("linear-signature")
};

/// The provider.
#[derive(Debug)]
pub struct Linear;

impl Provider for Linear {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: "listing-bound",
            description: "Most issues in one directory; the most recently updated are shown",
            default: Some("1000"),
        }],
        endpoints: &[Endpoint {
            allow: api::linear::RULES,
            credentials: &["linear"],
            limits: Some(LIMITS),
            ..Endpoint::new(
                api::linear::ENDPOINT,
                "https://api.linear.app",
                "reads teams, issues, comments, cycles, projects, users",
            )
        }],
        credentials: &[Credential {
            environment: &["LINEAR_TOKEN", "LINEAR_API_KEY"],
            raw_prefixes: &["lin_api_"],
            oauth: Some(OAuth {
                authorize_url: "https://linear.app/oauth/authorize",
                device_url: None,
                token_url: "https://api.linear.app/oauth/token",
                client_id: None,
                scopes: &["read"],
                elsewhere: false,
            }),
            whose: Some(Probe {
                endpoint: "api",
                method: Method::Post,
                path: "/graphql",
                body: Some(r#"{"query":"{ viewer { displayName } }"}"#),
                name: "/data/viewer/displayName",
            }),
            ..Credential::new("linear", "https://linear.app/settings/account/security")
        }],
        feeds: &[
            Feed::poll("changes", "workspace:", "api"),
            Feed::webhook("webhook", "workspace:", SIGNATURE),
        ],
        guide: guide::GUIDE,
        ..Manifest::new("linear", env!("CARGO_PKG_VERSION"), "What a Linear workspace holds")
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }

    fn deliver(delivery: &Delivery) -> Result<Changes> {
        feed::deliver(delivery)
    }
}

export!(service, Linear);
