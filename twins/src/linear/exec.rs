//! Runs a query that was found good, and counts its complexity.

use std::collections::BTreeMap;

use graphql_parser::query::{Field, Selection, SelectionSet, TypeCondition};
use serde_json::{Map, Value, json};

use super::data::{Issue, World};
use super::filter::passes;
use super::node::{Node, Out};
use super::schema::{Operation, TYPES, fits, inner, literal};
use crate::clock::iso_ms;

/// Linear's page where a query names none, and its largest one.
const PAGE: usize = 50;
const MAX_PAGE: usize = 250;

/// The one connection that is not named so.
const SEARCH: &str = "IssueSearchPayload";

/// A failure with the path of the field that had it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub message: String,
    pub path: Vec<String>,
}

pub(crate) struct Execution<'a> {
    pub world: &'a World,
    pub operation: &'a Operation<'a>,
    /// Milliseconds.
    pub now: i64,
    /// What `rateLimitStatus` shows.
    pub budget: Value,
}

/// One page of a connection.
struct Page<'a> {
    nodes: Vec<(Node<'a>, String)>,
    more_after: bool,
    more_before: bool,
}

type Arguments = BTreeMap<String, Value>;
/// Gives the value of one field.
type Resolve<'r> = dyn FnMut(&Field<'static, String>, &Arguments) -> Result<Value, Failure> + 'r;

impl<'a> Execution<'a> {
    pub fn run(&self) -> Result<Value, Failure> {
        let mut data = Map::new();
        self.select("Query", self.operation.selection, &mut data, &mut |field, arguments| {
            self.root(field, arguments)
        })?;
        Ok(Value::Object(data))
    }

    fn fail<T>(&self, field: &Field<'static, String>, message: String) -> Result<T, Failure> {
        let name = field.alias.as_ref().unwrap_or(&field.name).clone();
        Err(Failure { message, path: vec![name] })
    }

    /// Fills in a selection set. Fields of one name merge (specification, section 6.3.2).
    fn select(
        &self,
        type_name: &str,
        set: &SelectionSet<'static, String>,
        into: &mut Map<String, Value>,
        resolve: &mut Resolve<'_>,
    ) -> Result<(), Failure> {
        for selection in &set.items {
            if !self.included(selection) {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let key = field.alias.as_ref().unwrap_or(&field.name).clone();
                    let value = match field.name.as_str() {
                        "__typename" => json!(type_name),
                        _ => resolve(field, &self.arguments(field)).map_err(|mut failure| {
                            if failure.path.first() != Some(&key) {
                                failure.path.insert(0, key.clone());
                            }
                            failure
                        })?,
                    };
                    match into.get_mut(&key) {
                        Some(known) => blend(known, value),
                        None => {
                            into.insert(key, value);
                        }
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.operation.fragments.get(spread.fragment_name.as_str());
                    if let Some(fragment) = fragment {
                        let TypeCondition::On(on) = &fragment.type_condition;
                        if on == type_name || on == "Node" {
                            self.select(type_name, &fragment.selection_set, into, resolve)?;
                        }
                    }
                }
                Selection::InlineFragment(inline) => {
                    let applies = match &inline.type_condition {
                        Some(TypeCondition::On(on)) => on == type_name || on == "Node",
                        None => true,
                    };
                    if applies {
                        self.select(type_name, &inline.selection_set, into, resolve)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `@skip` and `@include`.
    fn included(&self, selection: &Selection<'static, String>) -> bool {
        let directives = match selection {
            Selection::Field(field) => &field.directives,
            Selection::FragmentSpread(spread) => &spread.directives,
            Selection::InlineFragment(inline) => &inline.directives,
        };
        directives.iter().all(|directive| {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let condition = condition.map(|(_, v)| literal(v, &self.operation.variables));
            match directive.name.as_str() {
                "skip" => condition != Some(Value::Bool(true)),
                "include" => condition != Some(Value::Bool(false)),
                _ => true,
            }
        })
    }

    fn arguments(&self, field: &Field<'static, String>) -> Arguments {
        let values = field.arguments.iter();
        values.map(|(name, v)| (name.clone(), literal(v, &self.operation.variables))).collect()
    }

    fn root(
        &self,
        field: &Field<'static, String>,
        arguments: &Arguments,
    ) -> Result<Value, Failure> {
        let world = self.world;
        let id = arguments.get("id").and_then(Value::as_str).unwrap_or_default();
        let one = |kind: &str, node: Option<Node<'a>>| match node {
            Some(node) => self.node(node, &field.selection_set),
            None => self.fail(field, format!("Entity not found: {kind}")),
        };
        let many = |nodes: Vec<Node<'a>>| self.connection("Query", field, arguments, nodes);
        match field.name.as_str() {
            "viewer" => one("User", world.users.get(&world.viewer).map(Node::User)),
            "organization" => one("Organization", Some(Node::Organization)),
            "user" => {
                let id = if id == "me" { world.viewer.as_str() } else { id };
                one("User", world.users.get(id).map(Node::User))
            }
            "team" => {
                let team = world.teams.get(id).or_else(|| world.team_by_key(id));
                one("Team", team.map(Node::Team))
            }
            "issue" => one("Issue", world.issue(id).map(Node::Issue)),
            "comment" => one("Comment", world.comments.get(id).map(Node::Comment)),
            "cycle" => one("Cycle", world.cycles.get(id).map(Node::Cycle)),
            "workflowState" => one("WorkflowState", world.states.get(id).map(Node::State)),
            "issueLabel" => one("IssueLabel", world.labels.get(id).map(Node::Label)),
            "project" => {
                let mut projects = world.projects.values();
                let project = projects.find(|p| p.id == id || p.slug == id);
                one("Project", project.map(Node::Project))
            }
            "users" => many(world.users.values().map(Node::User).collect()),
            "teams" => many(world.teams.values().map(Node::Team).collect()),
            "issues" => many(world.issues.values().map(Node::Issue).collect()),
            "searchIssues" => many(self.found(arguments)),
            "comments" => many(world.comments.values().map(Node::Comment).collect()),
            "cycles" => many(world.cycles.values().map(Node::Cycle).collect()),
            "workflowStates" => many(world.states.values().map(Node::State).collect()),
            "issueLabels" => many(world.labels.values().map(Node::Label).collect()),
            "projects" => many(world.projects.values().map(Node::Project).collect()),
            "rateLimitStatus" => {
                let mut status = Map::new();
                self.plain("RateLimitPayload", &self.budget, &field.selection_set, &mut status)?;
                Ok(Value::Object(status))
            }
            name => self.fail(field, format!("Cannot query field \"{name}\" on type \"Query\".")),
        }
    }

    /// The issues whose identifier, title or description, and whose comments if they are to be searched, have
    /// all words of the term.
    fn found(&self, arguments: &Arguments) -> Vec<Node<'a>> {
        let term = arguments.get("term").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let comments = arguments.get("includeComments") == Some(&Value::Bool(true));
        let fits = |issue: &&'a Issue| {
            let field = |node: Node<'a>, name: &str| match node.get(self.world, name, self.now) {
                Some(Out::Value(Value::String(text))) => text.to_lowercase(),
                _ => String::new(),
            };
            let own = ["identifier", "title", "description"].map(|n| field(Node::Issue(issue), n));
            let said = self.world.comments.values().filter(|c| comments && c.issue == issue.id);
            let said = said.map(|comment| field(Node::Comment(comment), "body"));
            let text = own.into_iter().chain(said).collect::<Vec<_>>().join("\n");
            term.split_whitespace().all(|word| text.contains(word))
        };
        self.world.issues.values().filter(fits).map(Node::Hit).collect()
    }

    /// A selection on a value that holds its fields by name.
    fn plain(
        &self,
        type_name: &str,
        value: &Value,
        set: &SelectionSet<'static, String>,
        into: &mut Map<String, Value>,
    ) -> Result<(), Failure> {
        self.select(type_name, set, into, &mut |field, _| {
            let value = value.get(&field.name).cloned().unwrap_or_default();
            let known = TYPES.fields(type_name).and_then(|fields| fields.get(&field.name));
            let of = known.map_or("", |known| inner(&known.ty));
            if TYPES.fields(of).is_none() {
                return Ok(value);
            }
            let make = |value: &Value| {
                let mut object = Map::new();
                self.plain(of, value, &field.selection_set, &mut object)?;
                Ok(Value::Object(object))
            };
            match &value {
                Value::Array(values) => values.iter().map(make).collect(),
                value => make(value),
            }
        })
    }

    fn node(&self, node: Node<'a>, set: &SelectionSet<'static, String>) -> Result<Value, Failure> {
        let mut object = Map::new();
        self.select(node.type_name(), set, &mut object, &mut |field, arguments| {
            let archived = arguments.get("includeArchived") == Some(&Value::Bool(true));
            let name = match field.name.as_str() {
                "issueCount" if archived => "issueCount(includeArchived)",
                name => name,
            };
            let value = match node.get(self.world, name, self.now) {
                Some(Out::Value(value)) => value,
                Some(Out::Node(Some(other))) => return self.node(other, &field.selection_set),
                Some(Out::Node(None)) => Value::Null,
                Some(Out::Many(nodes)) => {
                    return self.connection(node.type_name(), field, arguments, nodes);
                }
                None => return self.fail(field, format!("The twin lacks {}", field.name)),
            };
            // The twin never serves what its schema does not promise.
            let known = TYPES.fields(node.type_name()).and_then(|f| f.get(&field.name));
            match known.map(|known| fits(&known.ty, &value)) {
                Some(Err(why)) if !value.is_object() => self.fail(field, why),
                _ => Ok(value),
            }
        })?;
        Ok(Value::Object(object))
    }

    /// `parent` is the type that has the field, which says what kind of connection it is.
    fn connection(
        &self,
        parent: &str,
        field: &Field<'static, String>,
        arguments: &Arguments,
        nodes: Vec<Node<'a>>,
    ) -> Result<Value, Failure> {
        let page = match self.page(arguments, nodes) {
            Ok(page) => page,
            Err(message) => return self.fail(field, message),
        };
        let known = TYPES.fields(parent).and_then(|fields| fields.get(&field.name));
        let type_name = known.map_or("", |known| inner(&known.ty));
        let name = match type_name {
            SEARCH => "IssueSearchResult",
            other => other.strip_suffix("Connection").unwrap_or(other),
        };
        let mut object = Map::new();
        self.select(type_name, &field.selection_set, &mut object, &mut |inside, _| match inside
            .name
            .as_str()
        {
            "nodes" => {
                page.nodes.iter().map(|(node, _)| self.node(*node, &inside.selection_set)).collect()
            }
            "edges" => page
                .nodes
                .iter()
                .map(|(node, cursor)| self.edge(name, *node, cursor, &inside.selection_set))
                .collect(),
            _ => {
                let mut info = Map::new();
                let value = json!({
                    "startCursor": page.nodes.first().map(|(_, cursor)| cursor),
                    "endCursor": page.nodes.last().map(|(_, cursor)| cursor),
                    "hasNextPage": page.more_after,
                    "hasPreviousPage": page.more_before,
                });
                self.plain("PageInfo", &value, &inside.selection_set, &mut info)?;
                Ok(Value::Object(info))
            }
        })?;
        Ok(Value::Object(object))
    }

    fn edge(
        &self,
        name: &str,
        node: Node<'a>,
        cursor: &str,
        set: &SelectionSet<'static, String>,
    ) -> Result<Value, Failure> {
        let mut edge = Map::new();
        self.select(&format!("{name}Edge"), set, &mut edge, &mut |field, _| match field
            .name
            .as_str()
        {
            "cursor" => Ok(json!(cursor)),
            _ => self.node(node, &field.selection_set),
        })?;
        Ok(Value::Object(edge))
    }

    /// Filters, sorts newest first, and cuts the page. A cursor names a position in the order, so
    /// that it still works when its object is gone.
    fn page(&self, arguments: &Arguments, nodes: Vec<Node<'a>>) -> Result<Page<'a>, String> {
        let by_update = arguments.get("orderBy").and_then(Value::as_str) == Some("updatedAt");
        let archived = arguments.get("includeArchived") == Some(&Value::Bool(true));
        let no_filter = Value::Null;
        let filter = arguments.get("filter").unwrap_or(&no_filter);
        let key = |node: &Node<'a>| {
            let (created, updated) = node.times(self.world);
            let at = if by_update { updated } else { created };
            format!("{}_{}", iso_ms(at), node.id())
        };
        let nodes = nodes.into_iter().filter(|node| {
            (archived || node.archived().is_none())
                && passes(self.world, Some(*node), filter, self.now)
        });
        let mut keyed: Vec<(Node<'a>, String)> = nodes.map(|n| (n, key(&n))).collect();
        keyed.sort_by(|a, b| b.1.cmp(&a.1));
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let count = |name: &str| arguments.get(name).and_then(Value::as_u64).map(|n| n as usize);
        for name in ["after", "before"] {
            if text(name).is_some_and(|cursor| !cursor.contains("Z_")) {
                return Err(format!("Argument Validation Error: {name} is not a valid cursor"));
            }
        }
        let start = text("after").map_or(0, |c| keyed.partition_point(|(_, k)| k.as_str() >= c));
        let end =
            text("before").map_or(keyed.len(), |c| keyed.partition_point(|(_, k)| k.as_str() > c));
        let window = start..end.max(start);
        let size = count("first").or(count("last")).unwrap_or(PAGE);
        if size == 0 || size > MAX_PAGE {
            return Err(format!(
                "Argument Validation Error: a page holds 1 to {MAX_PAGE} entries, not {size}"
            ));
        }
        let from_end = count("first").is_none() && count("last").is_some();
        let cut = match from_end {
            true => window.end.saturating_sub(size).max(window.start)..window.end,
            false => window.start..window.end.min(window.start + size),
        };
        let (more_before, more_after) = (cut.start > 0, cut.end < keyed.len());
        Ok(Page { nodes: keyed[cut].to_vec(), more_after, more_before })
    }
}

/// Merges what two selections of one field gave.
fn blend(known: &mut Value, more: Value) {
    match (known, more) {
        (Value::Object(known), Value::Object(more)) => {
            for (name, value) in more {
                match known.get_mut(&name) {
                    Some(inside) => blend(inside, value),
                    None => {
                        known.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(known), Value::Array(more)) => {
            for (inside, value) in known.iter_mut().zip(more) {
                blend(inside, value);
            }
        }
        _ => {}
    }
}

/// Linear's points: 0.1 for a property, 1 for an object, and a connection multiplies what it holds
/// by its page ("Rate limiting" of the developers' pages). Rounded up.
pub(crate) fn complexity(operation: &Operation<'_>) -> u64 {
    points(operation, "Query", operation.selection).ceil() as u64
}

fn points(operation: &Operation<'_>, type_name: &str, set: &SelectionSet<'static, String>) -> f64 {
    set.items
        .iter()
        .map(|selection| match selection {
            Selection::Field(field) => {
                let known = TYPES.fields(type_name).and_then(|fields| fields.get(&field.name));
                let of = known.map_or("", |known| inner(&known.ty));
                if TYPES.fields(of).is_none() {
                    return 0.1;
                }
                let inside = points(operation, of, &field.selection_set);
                if !of.ends_with("Connection") && of != SEARCH {
                    return 1.0 + inside;
                }
                let size = field.arguments.iter().find(|(n, _)| n == "first" || n == "last");
                let size = size.map(|(_, value)| literal(value, &operation.variables));
                size.and_then(|value| value.as_f64()).unwrap_or(PAGE as f64) * inside
            }
            Selection::FragmentSpread(spread) => {
                match operation.fragments.get(spread.fragment_name.as_str()) {
                    Some(fragment) => {
                        let TypeCondition::On(on) = &fragment.type_condition;
                        points(operation, on, &fragment.selection_set)
                    }
                    None => 0.0,
                }
            }
            Selection::InlineFragment(inline) => {
                let on = match &inline.type_condition {
                    Some(TypeCondition::On(on)) => on.as_str(),
                    None => type_name,
                };
                points(operation, on, &inline.selection_set)
            }
        })
        .sum()
}
