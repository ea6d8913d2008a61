//! What Linear answers, as far as it is read here. Field names are Linear's own; a connection is
//! read as the list of its nodes.

pub mod query;

pub use omnifs_sdk::graphql::Connection as Page;
use omnifs_sdk::{Items, Pages, Result, graphql};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

omnifs_sdk::routes! {
    /// What is asked of Linear.
    pub mod linear = "api" {
        post graphql() = "/graphql",
    }
}

/// Posts a query and answers its data.
pub fn ask<T: DeserializeOwned>(query: &str, variables: Value) -> Result<T> {
    graphql::query(linear::graphql(), query, &variables)
}

/// As [`ask`], with Linear's clock in seconds since the Unix epoch.
pub fn ask_dated<T: DeserializeOwned>(query: &str, variables: Value) -> Result<(T, Option<u64>)> {
    graphql::dated(linear::graphql(), query, &variables)
}

/// Every page of a connection. `take` finds it in the data.
pub fn ask_all<D: DeserializeOwned, T>(
    query: &str,
    variables: Value,
    take: impl FnMut(D) -> Page<T>,
) -> Result<Items<T>> {
    Ok(ask_some(query, variables, usize::MAX, take)?.items)
}

/// The pages of a connection until there are `bound` nodes.
pub fn ask_some<D: DeserializeOwned, T>(
    query: &str,
    variables: Value,
    bound: usize,
    take: impl FnMut(D) -> Page<T>,
) -> Result<Pages<T>> {
    ask_first([query, query], variables, bound, take)
}

/// As [`ask_some`], with another query for the pages after the first.
pub fn ask_first<D: DeserializeOwned, T>(
    queries: [&str; 2],
    variables: Value,
    bound: usize,
    take: impl FnMut(D) -> Page<T>,
) -> Result<Pages<T>> {
    graphql::pages(&linear::graphql(), queries, variables, bound, take)
}

/// A connection of which all, or a first part, is taken.
pub type Nodes<T> = Page<T>;

/// Data with one field of any name.
macro_rules! data {
    ($($Name:ident { $field:ident: $Type:ty })*) => { $(
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $Name<T> {
            pub $field: $Type,
        }
    )* };
}

data! {
    OfIssue { issue: T }
    OfIssues { issues: T }
    OfLabels { issue_labels: T }
    OfComment { comment: T }
    OfComments { comments: T }
    OfTeam { team: T }
    OfTeams { teams: T }
    OfStates { states: T }
    OfState { workflow_state: T }
    OfCycles { cycles: T }
    OfCycle { cycle: T }
    OfProjects { projects: T }
    OfProject { project: T }
    OfUsers { users: T }
    OfUser { user: T }
    OfMembers { members: T }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    pub id: String,
    pub identifier: String,
    #[serde(serialize_with = "number")]
    pub number: f64,
    pub title: String,
    pub description: Option<String>,
    #[serde(serialize_with = "number")]
    pub priority: f64,
    pub priority_label: String,
    #[serde(serialize_with = "maybe_number")]
    pub estimate: Option<f64>,
    pub due_date: Option<String>,
    pub url: String,
    pub created_at: String,
    pub updated_at: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub canceled_at: Option<String>,
    pub archived_at: Option<String>,
    #[serde(skip_serializing)]
    pub trashed: Option<bool>,
    #[serde(skip_serializing)]
    pub label_ids: Vec<String>,
    pub team: TeamKey,
    pub state: StateName,
    pub assignee: Option<Person>,
    pub creator: Option<Person>,
    pub cycle: Option<CycleName>,
    pub project: Option<Named>,
    pub parent: Option<Parent>,
    /// In order of their names, once they are all known.
    #[serde(default, deserialize_with = "nodes", serialize_with = "list")]
    pub labels: Items<Named>,
    /// Those that came along; see [`crate::comment::complete`].
    #[serde(default, skip_serializing, deserialize_with = "nodes")]
    pub comments: Items<Comment>,
    /// Whether `comments` holds all of them.
    #[serde(skip)]
    pub has_comments: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comment {
    pub id: String,
    pub body: String,
    pub created_at: String,
    pub updated_at: String,
    pub url: String,
    pub user: Option<Author>,
    pub issue_id: Option<String>,
    pub archived_at: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    pub display_name: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TeamKey {
    pub id: String,
    pub key: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StateName {
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub id: String,
    pub name: String,
    pub display_name: String,
    #[serde(default, skip_serializing)]
    pub is_me: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CycleName {
    pub id: String,
    #[serde(serialize_with = "number")]
    pub number: f64,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Parent {
    pub id: String,
    pub identifier: String,
}

/// A team with its states.
#[derive(Clone, Debug, Deserialize)]
pub struct Team {
    pub id: String,
    pub key: String,
    pub states: Nodes<State>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub color: String,
    #[serde(serialize_with = "number")]
    pub position: f64,
    pub description: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cycle {
    pub id: String,
    #[serde(serialize_with = "number")]
    pub number: f64,
    pub name: Option<String>,
    pub description: Option<String>,
    pub starts_at: String,
    pub ends_at: String,
    pub completed_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub id: String,
    pub name: String,
    pub description: String,
    pub content: Option<String>,
    pub slug_id: String,
    pub priority_label: String,
    pub start_date: Option<String>,
    pub target_date: Option<String>,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub canceled_at: Option<String>,
    #[serde(skip_serializing)]
    pub trashed: Option<bool>,
    pub created_at: String,
    pub updated_at: String,
    pub url: String,
    pub lead: Option<Person>,
    pub status: StateName,
    #[serde(skip_serializing, deserialize_with = "nodes")]
    pub teams: Items<Key>,
    /// How many teams were asked for.
    #[serde(skip)]
    pub teams_asked: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Key {
    pub key: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub email: String,
    pub description: Option<String>,
    pub title: Option<String>,
    pub timezone: Option<String>,
    pub active: bool,
    pub admin: bool,
    pub guest: bool,
    pub created_at: String,
    pub updated_at: String,
    pub url: String,
}

fn list<S: Serializer, T: Serialize>(
    items: &Items<T>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter())
}

fn nodes<'de, D, T>(deserializer: D) -> std::result::Result<Items<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(Nodes::deserialize(deserializer)?.nodes)
}

/// Linear's numbers are floats by their type; most are whole, and are written so.
fn number<S: Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    // Exact below 2^53, where floats are.
    if value.fract() == 0.0 && value.abs() < 9e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

fn maybe_number<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}
