//! Every query that is sent, as text. Pages are as large as the points allow (see the crate's
//! documentation); a connection without `pageInfo` is read to tell "all of it" from "more".

/// An issue without what is many: labels and comments.
macro_rules! fields {
    () => {
        "id identifier number title description priority priorityLabel estimate dueDate url \
           createdAt updatedAt startedAt completedAt canceledAt archivedAt trashed labelIds \
           team { id key } state { id name type } \
           assignee { id name displayName isMe } creator { id name displayName isMe } \
           cycle { id number name } project { id name } parent { id identifier } "
    };
}

macro_rules! issue {
    () => {
        concat!(
            "fragment IssueFields on Issue { ",
            fields!(),
            "comments(first: $comments) { nodes { ...CommentFields } } } "
        )
    };
}

macro_rules! comment {
    () => {
        "fragment CommentFields on Comment { \
           id body createdAt updatedAt url user { displayName } \
         } "
    };
}

macro_rules! state {
    () => {
        "fragment StateFields on WorkflowState { \
           id name type color position description createdAt updatedAt \
         } "
    };
}

macro_rules! cycle {
    () => {
        "fragment CycleFields on Cycle { \
           id number name description startsAt endsAt completedAt createdAt updatedAt \
         } "
    };
}

macro_rules! project {
    () => {
        "fragment ProjectFields on Project { \
           id name description content slugId priorityLabel startDate targetDate \
           startedAt completedAt canceledAt trashed createdAt updatedAt url \
           lead { id name displayName } status { id name type } \
           teams(first: $teams) { nodes { key } } \
         } "
    };
}

macro_rules! user {
    () => {
        "fragment UserFields on User { \
           id name displayName email description title timezone active admin guest \
           createdAt updatedAt url \
         } "
    };
}

/// The first page of a directory of issues, and the names of the workspace's labels: `labelIds`
/// costs a tenth of a point where the labels themselves would cost a dozen for each issue.
pub const ISSUES: &str = concat!(
    "query Issues($filter: IssueFilter, $first: Int!, $comments: Int!) { \
       issues(filter: $filter, first: $first, orderBy: updatedAt) { \
         nodes { ...IssueFields } pageInfo { hasNextPage endCursor } \
       } \
       issueLabels(first: 250) { nodes { id name } } \
     } ",
    issue!(),
    comment!()
);

pub const MORE_ISSUES: &str = concat!(
    "query MoreIssues($filter: IssueFilter, $first: Int!, $comments: Int!, $after: String) { \
       issues(filter: $filter, first: $first, after: $after, orderBy: updatedAt) { \
         nodes { ...IssueFields } pageInfo { hasNextPage endCursor } \
       } \
     } ",
    issue!(),
    comment!()
);

/// What Linear finds, and the names of the workspace's labels.
pub const SEARCH: &str = concat!(
    "query Search($term: String!, $filter: IssueFilter, $first: Int!, $after: String) { \
       searchIssues(term: $term, filter: $filter, first: $first, after: $after, \
         includeComments: true) { \
         nodes { ",
    fields!(),
    "} pageInfo { hasNextPage endCursor } \
       } \
       issueLabels(first: 250) { nodes { id name } } \
     } "
);

/// By UUID or identifier.
pub const ISSUE: &str = concat!(
    "query Issue($id: String!, $comments: Int!) { \
       issue(id: $id) { ...IssueFields labels(first: 20) { nodes { id name } } } \
     } ",
    issue!(),
    comment!()
);

pub const LABELS: &str = "query Labels($ids: [ID!]) { \
    issueLabels(filter: { id: { in: $ids } }, first: 250, includeArchived: true) { \
      nodes { id name } \
    } \
  }";

/// The comments of several issues.
pub const COMMENTS: &str = concat!(
    "query Comments($issues: [ID!], $after: String) { \
       comments(filter: { issue: { id: { in: $issues } } }, first: 250, after: $after) { \
         nodes { ...CommentFields issueId } pageInfo { hasNextPage endCursor } \
       } \
     } ",
    comment!()
);

/// Those of one issue; an error where it does not exist.
pub const ISSUE_COMMENTS: &str = concat!(
    "query IssueComments($issue: String!, $after: String) { \
       issue(id: $issue) { trashed comments(first: 100, after: $after) { \
         nodes { ...CommentFields } pageInfo { hasNextPage endCursor } \
       } } \
     } ",
    comment!()
);

pub const COMMENT: &str = concat!(
    "query Comment($id: String!) { comment(id: $id) { ...CommentFields issueId archivedAt } } ",
    comment!()
);

pub const TEAMS: &str = "query Teams($after: String) { \
    teams(first: 100, after: $after) { nodes { id key } pageInfo { hasNextPage endCursor } } \
  }";

/// By key, with the states that `by-state` shows.
pub const TEAM: &str = concat!(
    "query Team($key: String!) { \
       teams(filter: { key: { eq: $key } }, first: 1) { \
         nodes { id key states(first: 100) { nodes { ...StateFields } } } \
       } \
     } ",
    state!()
);

pub const STATES: &str = concat!(
    "query States($team: String!, $after: String) { \
       team(id: $team) { states(first: 100, after: $after) { \
         nodes { ...StateFields } pageInfo { hasNextPage endCursor } \
       } } \
     } ",
    state!()
);

pub const STATE: &str =
    concat!("query State($id: String!) { workflowState(id: $id) { ...StateFields } } ", state!());

pub const CYCLES: &str = concat!(
    "query Cycles($team: String!, $first: Int!, $after: String) { \
       team(id: $team) { cycles(first: $first, after: $after) { \
         nodes { ...CycleFields } pageInfo { hasNextPage endCursor } \
       } } \
     } ",
    cycle!()
);

pub const CYCLE_OF: &str = concat!(
    "query CycleOf($team: ID!, $number: Float!) { \
       cycles(filter: { team: { id: { eq: $team } }, number: { eq: $number } }, first: 1) { \
         nodes { ...CycleFields } \
       } \
     } ",
    cycle!()
);

pub const CYCLE: &str =
    concat!("query Cycle($id: String!) { cycle(id: $id) { ...CycleFields } } ", cycle!());

pub const PROJECTS: &str = concat!(
    "query Projects($teams: Int!, $after: String) { \
       projects(first: 100, after: $after) { \
         nodes { ...ProjectFields } pageInfo { hasNextPage endCursor } \
       } \
     } ",
    project!()
);

pub const TEAM_PROJECTS: &str = concat!(
    "query TeamProjects($team: String!, $teams: Int!, $after: String) { \
       team(id: $team) { projects(first: 100, after: $after) { \
         nodes { ...ProjectFields } pageInfo { hasNextPage endCursor } \
       } } \
     } ",
    project!()
);

pub const PROJECT: &str = concat!(
    "query Project($id: String!, $teams: Int!) { project(id: $id) { ...ProjectFields } } ",
    project!()
);

pub const USERS: &str = concat!(
    "query Users($filter: UserFilter, $after: String) { \
       users(filter: $filter, first: 100, after: $after) { \
         nodes { ...UserFields } pageInfo { hasNextPage endCursor } \
       } \
     } ",
    user!()
);

pub const MEMBERS: &str = concat!(
    "query Members($team: String!, $after: String) { \
       team(id: $team) { members(first: 100, after: $after) { \
         nodes { ...UserFields } pageInfo { hasNextPage endCursor } \
       } } \
     } ",
    user!()
);

pub const USER: &str =
    concat!("query User($id: String!) { user(id: $id) { ...UserFields } } ", user!());

/// What issues refer to, as far as it changed, and how many issues there are: the only trace of a
/// deleted one.
macro_rules! objects {
    () => {
        "fragment Objects on Query { \
           workflowStates(filter: { updatedAt: { gte: $since } }, first: 10, \
             includeArchived: true, orderBy: updatedAt) { \
             nodes { id updatedAt archivedAt team { id } } \
           } \
           cycles(filter: { updatedAt: { gte: $since } }, first: 10, \
             includeArchived: true, orderBy: updatedAt) { \
             nodes { id updatedAt archivedAt team { id } } \
           } \
           projects(filter: { updatedAt: { gte: $since } }, first: 10, \
             includeArchived: true, orderBy: updatedAt) { \
             nodes { id updatedAt archivedAt } \
           } \
           users(filter: { updatedAt: { gte: $since } }, first: 10, \
             includeArchived: true, orderBy: updatedAt) { \
             nodes { id updatedAt archivedAt } \
           } \
           issueLabels(filter: { updatedAt: { gte: $since } }, first: 10, \
             includeArchived: true, orderBy: updatedAt) { \
             nodes { id updatedAt archivedAt } \
           } \
           teams(first: 50) { nodes { id key issueCount(includeArchived: true) } } \
         } "
    };
}

macro_rules! changed {
    () => {
        "fragment ChangedIssue on Issue { \
           id createdAt updatedAt archivedAt trashed previousIdentifiers team { id } \
         } "
    };
}

pub const CHANGED_OBJECTS: &str =
    concat!("query ChangedObjects($since: DateTimeOrDuration!) { ...Objects } ", objects!());

pub const CHANGED: &str = concat!(
    "query Changed($since: DateTimeOrDuration!) { \
       issues(filter: { or: [{ updatedAt: { gte: $since } }, { archivedAt: { gte: $since } }] }, \
         first: 20, includeArchived: true, orderBy: updatedAt) { nodes { ...ChangedIssue } } \
       comments(filter: { updatedAt: { gte: $since } }, first: 20, includeArchived: true, \
         orderBy: updatedAt) { nodes { id createdAt updatedAt archivedAt issueId } } \
       ...Objects \
     } ",
    changed!(),
    objects!()
);

/// All of them, where [`CHANGED`] has its first 20.
pub const CHANGED_ISSUES: &str = concat!(
    "query ChangedIssues($since: DateTimeOrDuration!, $after: String) { \
       issues(filter: { or: [{ updatedAt: { gte: $since } }, { archivedAt: { gte: $since } }] }, \
         first: 250, after: $after, includeArchived: true, orderBy: updatedAt) { \
         nodes { ...ChangedIssue } pageInfo { hasNextPage endCursor } \
       } \
     } ",
    changed!()
);

pub const CHANGED_COMMENTS: &str = "query ChangedComments(\
       $since: DateTimeOrDuration!, $after: String) { \
       comments(filter: { updatedAt: { gte: $since } }, first: 250, after: $after, \
         includeArchived: true, orderBy: updatedAt) { \
         nodes { id createdAt updatedAt archivedAt issueId } pageInfo { hasNextPage endCursor } \
       } \
     }";

/// The issues that name a renamed object.
pub const CONCERNED: &str = "query Concerned($filter: IssueFilter!) { \
    issues(filter: $filter, first: 100, includeArchived: true) { nodes { id } } \
  }";

/// The comments that name a renamed person.
pub const WRITTEN: &str = "query Written($people: [ID!]) { \
    comments(filter: { user: { id: { in: $people } } }, first: 100, includeArchived: true) { \
      nodes { id } \
    } \
  }";

/// The projects that name a renamed person.
pub const LED: &str = "query Led($people: [ID!]) { \
    projects(filter: { lead: { id: { in: $people } } }, first: 100, includeArchived: true) { \
      nodes { id } \
    } \
  }";

/// Each with its name, for the tests that hold it against Linear's schema.
pub const EVERY: [(&str, &str); 28] = [
    ("ISSUES", ISSUES),
    ("MORE_ISSUES", MORE_ISSUES),
    ("SEARCH", SEARCH),
    ("ISSUE", ISSUE),
    ("LABELS", LABELS),
    ("COMMENTS", COMMENTS),
    ("ISSUE_COMMENTS", ISSUE_COMMENTS),
    ("COMMENT", COMMENT),
    ("TEAMS", TEAMS),
    ("TEAM", TEAM),
    ("STATES", STATES),
    ("STATE", STATE),
    ("CYCLES", CYCLES),
    ("CYCLE_OF", CYCLE_OF),
    ("CYCLE", CYCLE),
    ("PROJECTS", PROJECTS),
    ("TEAM_PROJECTS", TEAM_PROJECTS),
    ("PROJECT", PROJECT),
    ("USERS", USERS),
    ("MEMBERS", MEMBERS),
    ("USER", USER),
    ("CHANGED_OBJECTS", CHANGED_OBJECTS),
    ("CHANGED", CHANGED),
    ("CHANGED_ISSUES", CHANGED_ISSUES),
    ("CHANGED_COMMENTS", CHANGED_COMMENTS),
    ("CONCERNED", CONCERNED),
    ("WRITTEN", WRITTEN),
    ("LED", LED),
];
