//! GitHub's OpenAPI description: which requests it allows, and what it says of their answers.

use std::path::Path;

use serde_json::Value;

use percent_encoding::percent_decode_str;

use crate::npm::Package;

/// One version, so that every run checks against the same text.
pub(super) const PACKAGE: Package = Package {
    name: "@octokit/openapi",
    version: "23.0.2",
    member: "package/generated/api.github.com.json",
    kept: "github",
};
/// GitHub's largest page. The description says so in prose only.
const MAX_PER_PAGE: i64 = 100;

/// The description, read.
#[derive(Debug)]
pub struct OpenApi {
    document: Value,
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    template: String,
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    Parameter(String),
    /// Takes one segment or more.
    Rest(String),
}

/// The operation that a request is.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// `issues/list-for-repo`
    pub id: &'a str,
    /// `/repos/{owner}/{repo}/issues`
    pub template: &'a str,
    /// The operation's object in the description.
    pub value: &'a Value,
}

impl OpenApi {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let document: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let mut routes = Vec::new();
        for (template, item) in document["paths"].as_object().into_iter().flatten() {
            routes.push(route(&document, template, item));
        }
        Ok(Self { document, routes })
    }

    /// The whole description.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What a `$ref` leads to; any other value is itself.
    pub fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        follow(&self.document, value)
    }

    /// The operation of a request, its parameters checked.
    ///
    /// # Errors
    /// Where the description allows no such request.
    pub fn check(&self, method: &str, path: &str) -> Result<Operation<'_>, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode).collect();
        let (route, values) = self
            .find(&by_name(asked))
            .ok_or_else(|| format!("{method} {path}: GitHub's description has no such path"))?;
        let item = &self.document["paths"][&route.template];
        let value = item
            .get(method.to_lowercase())
            .ok_or_else(|| format!("{method} {path}: {} does not take {method}", route.template))?;
        let id = value["operationId"].as_str().unwrap_or_default();
        let operation = Operation { id, template: &route.template, value };
        for (name, value) in values {
            self.parameter(operation, "path", name, &value)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")));
            self.parameter(operation, "query", &name, &value)?;
        }
        Ok(operation)
    }

    /// The route with the most literal segments that fits.
    fn find<'a>(&'a self, asked: &[String]) -> Option<(&'a Route, Vec<(&'a str, String)>)> {
        let fitting = self.routes.iter().filter_map(|route| {
            let (literals, values) = fit(&route.segments, asked)?;
            Some((literals, route, values))
        });
        let best = fitting.max_by_key(|(literals, ..)| *literals)?;
        Some((best.1, best.2))
    }

    fn parameter(
        &self,
        operation: Operation<'_>,
        place: &str,
        name: &str,
        value: &str,
    ) -> Result<(), String> {
        let refuse = |why: String| Err(format!("{}: {name}={value}: {why}", operation.id));
        let shared = &self.document["paths"][operation.template]["parameters"];
        let parameters = [&operation.value["parameters"], shared];
        let mut parameters =
            parameters.into_iter().flat_map(|p| p.as_array().into_iter().flatten());
        let parameter = parameters
            .find_map(|p| Some(self.follow(p)).filter(|p| p["in"] == place && p["name"] == name));
        let Some(parameter) = parameter else {
            return refuse(format!("there is no such {place} parameter"));
        };
        if name == "per_page" && value.parse::<i64>().is_ok_and(|n| n > MAX_PER_PAGE) {
            return refuse(format!("a page holds at most {MAX_PER_PAGE}"));
        }
        match self.allows(&parameter["schema"], value) {
            true => Ok(()),
            false => refuse("the description does not allow this value".to_owned()),
        }
    }

    /// Whether the text of a parameter is a value of its schema.
    fn allows(&self, schema: &Value, text: &str) -> bool {
        let schema = self.follow(schema);
        for several in ["oneOf", "anyOf"] {
            if let Some(all) = schema[several].as_array() {
                return all.iter().any(|schema| self.allows(schema, text));
            }
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.iter().any(|v| {
                v.as_str() == Some(text) || v.as_i64().is_some_and(|n| text.parse() == Ok(n))
            })
        {
            return false;
        }
        match schema["type"].as_str() {
            Some("integer") => text.parse::<i64>().is_ok_and(|number| {
                schema["minimum"].as_i64().is_none_or(|least| number >= least)
                    && schema["maximum"].as_i64().is_none_or(|most| number <= most)
            }),
            Some("number") => text.parse::<f64>().is_ok(),
            Some("boolean") => matches!(text, "true" | "false"),
            Some("array") => text.split(',').all(|one| self.allows(&schema["items"], one)),
            _ if schema["format"] == "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
            _ => true,
        }
    }
}

fn follow<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    while let Some(reference) = value["$ref"].as_str() {
        let Some(found) = document.pointer(reference.trim_start_matches('#')) else { break };
        value = found;
    }
    value
}

/// A repository asked for by its id, as GitHub's own redirects and `Link` headers have it. The
/// description knows the form by name only.
fn by_name(asked: Vec<String>) -> Vec<String> {
    match asked.as_slice() {
        [first, id, rest @ ..] if first == "repositories" && id.parse::<u64>().is_ok() => {
            let named = ["repos", "owner", "repo"].map(str::to_owned);
            named.into_iter().chain(rest.iter().cloned()).collect()
        }
        _ => asked,
    }
}

fn route(document: &Value, template: &str, item: &Value) -> Route {
    let many = |name: &str| {
        item.as_object().into_iter().flatten().any(|(_, operation)| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters
                .map(|p| follow(document, p))
                .any(|p| p["name"] == name && p["x-multi-segment"] == Value::Bool(true))
        })
    };
    let segments = template.split('/').filter(|s| !s.is_empty()).map(|segment| {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) if many(name) => Segment::Rest(name.to_owned()),
            Some(name) => Segment::Parameter(name.to_owned()),
            None => Segment::Literal(segment.to_owned()),
        }
    });
    Route { template: template.to_owned(), segments: segments.collect() }
}

/// The number of literal segments and the values of the others.
fn fit<'a>(segments: &'a [Segment], asked: &[String]) -> Option<(usize, Vec<(&'a str, String)>)> {
    let (mut literals, mut values) = (0, Vec::new());
    let mut at = 0;
    for (index, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Literal(text) => {
                (asked.get(at)? == text).then_some(())?;
                (literals, at) = (literals + 1, at + 1);
            }
            Segment::Parameter(name) => {
                values.push((name.as_str(), asked.get(at)?.clone()));
                at += 1;
            }
            Segment::Rest(name) => {
                let after = segments.len() - index - 1;
                let end = asked.len().checked_sub(after).filter(|end| *end > at)?;
                values.push((name.as_str(), asked[at..end].join("/")));
                at = end;
            }
        }
    }
    (at == asked.len()).then_some((literals, values))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
