//! Linear's filters: comparators on fields, `and`, `or`, `null`, and filters on related objects.

use jiff::{Span, SpanRelativeTo, Unit};
use serde_json::Value;

use super::data::World;
use super::node::{Node, Out};
use crate::clock::parse_iso_ms;

/// Whether the object passes. The filter has been checked against the schema.
pub(crate) fn passes(world: &World, node: Option<Node<'_>>, filter: &Value, now: i64) -> bool {
    let Value::Object(members) = filter else { return true };
    members.iter().all(|(name, wanted)| match (name.as_str(), wanted) {
        (_, Value::Null) => true,
        ("and", Value::Array(all)) => all.iter().all(|f| passes(world, node, f, now)),
        ("or", Value::Array(any)) => any.iter().any(|f| passes(world, node, f, now)),
        ("null", Value::Bool(absent)) => node.is_none() == *absent,
        _ => match node.and_then(|node| node.get(world, name, now)) {
            None => false,
            Some(Out::Value(value)) => compares(&value, wanted, now),
            Some(Out::Node(other)) => match other {
                // A filter on a missing object holds only where it asks for the absence.
                None => asks_for_absence(wanted),
                some => passes(world, some, wanted, now),
            },
            Some(Out::Many(nodes)) => collection(world, &nodes, wanted, now),
        },
    })
}

fn asks_for_absence(filter: &Value) -> bool {
    filter.get("null") == Some(&Value::Bool(true))
}

/// `some`, `every` and `length` speak of all entries; any other member is short for `some`.
fn collection(world: &World, nodes: &[Node<'_>], filter: &Value, now: i64) -> bool {
    let Value::Object(members) = filter else { return true };
    members.iter().all(|(name, wanted)| match name.as_str() {
        "some" => nodes.iter().any(|node| passes(world, Some(*node), wanted, now)),
        "every" => nodes.iter().all(|node| passes(world, Some(*node), wanted, now)),
        "length" => compares(&nodes.len().into(), wanted, now),
        "null" => Value::Bool(nodes.is_empty()) == *wanted,
        "and" => wanted
            .as_array()
            .is_none_or(|all| all.iter().all(|filter| collection(world, nodes, filter, now))),
        "or" => wanted
            .as_array()
            .is_none_or(|any| any.iter().any(|filter| collection(world, nodes, filter, now))),
        _ => {
            let one = serde_json::json!({ name: wanted });
            nodes.iter().any(|node| passes(world, Some(*node), &one, now))
        }
    })
}

fn compares(value: &Value, comparator: &Value, now: i64) -> bool {
    let Value::Object(tests) = comparator else { return true };
    tests.iter().all(|(test, wanted)| {
        if wanted.is_null() {
            return true;
        }
        let text = |v: &Value| v.as_str().map(str::to_owned).unwrap_or_default();
        let (have, want) = (text(value), text(wanted));
        let (low, want_low) = (have.to_lowercase(), want.to_lowercase());
        let order = || order(value, wanted, now);
        let listed = || wanted.as_array().is_some_and(|all| all.iter().any(|w| equal(value, w)));
        match test.as_str() {
            "null" => value.is_null() == (wanted == &Value::Bool(true)),
            "eq" => equal(value, wanted) || order() == Some(std::cmp::Ordering::Equal),
            "neq" => !equal(value, wanted),
            "in" => listed(),
            "nin" => !listed(),
            "gt" => order().is_some_and(std::cmp::Ordering::is_gt),
            "gte" => order().is_some_and(std::cmp::Ordering::is_ge),
            "lt" => order().is_some_and(std::cmp::Ordering::is_lt),
            "lte" => order().is_some_and(std::cmp::Ordering::is_le),
            "eqIgnoreCase" => low == want_low,
            "neqIgnoreCase" => low != want_low,
            "contains" => have.contains(&want),
            "notContains" => !have.contains(&want),
            "containsIgnoreCase" | "containsIgnoreCaseAndAccent" => low.contains(&want_low),
            "notContainsIgnoreCase" => !low.contains(&want_low),
            "startsWith" => have.starts_with(&want),
            "startsWithIgnoreCase" => low.starts_with(&want_low),
            "notStartsWith" => !have.starts_with(&want),
            "endsWith" => have.ends_with(&want),
            "notEndsWith" => !have.ends_with(&want),
            _ => false,
        }
    })
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Numbers by size, times by the moment they name. A duration counts from now.
fn order(value: &Value, wanted: &Value, now: i64) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (value.as_f64(), wanted.as_f64()) {
        return a.partial_cmp(&b);
    }
    let (a, b) = (value.as_str()?, wanted.as_str()?);
    Some(moment(a, now)?.cmp(&moment(b, now)?))
}

fn moment(text: &str, now: i64) -> Option<i64> {
    if let Some(ms) = parse_iso_ms(text) {
        return Some(ms);
    }
    if let Some(ms) = parse_iso_ms(&format!("{text}T00:00:00Z")) {
        return Some(ms);
    }
    let span: Span = text.parse().ok()?;
    let relative = SpanRelativeTo::days_are_24_hours();
    let ms = span.total((Unit::Millisecond, relative)).ok()?;
    Some(now + ms as i64)
}
