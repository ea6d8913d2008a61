//! Every query against Linear's own schema, and what it costs by Linear's rule.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::{Selection, SelectionSet};
use omnifs_descriptions as check;
use omnifs_linear::query;
use std::collections::BTreeMap;

#[test]
fn linear_allows_every_query() {
    for (name, text) in query::EVERY {
        // Where the schema is absent, that is said loudly.
        if let Err(refused) = check::check_linear_query(text) {
            panic!("{name}: {refused}");
        }
    }
}

/// Linear's points: a tenth for a property, one for an object, and a connection multiplies what is
/// in it by its page, 50 where none is named.
fn points(document: &ExecutableDocument, set: &SelectionSet, first: &BTreeMap<&str, f64>) -> f64 {
    let one = |selection: &Selection| match selection {
        Selection::Field(field) if field.selection_set.is_empty() => 0.1,
        Selection::Field(field) => {
            let inside = points(document, &field.selection_set, first);
            let ty = field.ty().inner_named_type();
            if !ty.ends_with("Connection") && ty != "IssueSearchPayload" {
                return 1.0 + inside;
            }
            let page = field.argument_by_name("first").map_or(50.0, |value| {
                let variable = value.as_variable().map(|name| first[name.as_str()]);
                variable.unwrap_or_else(|| value.to_f64().unwrap())
            });
            page * inside
        }
        Selection::FragmentSpread(spread) => {
            points(document, &spread.fragment_def(document).unwrap().selection_set, first)
        }
        Selection::InlineFragment(inline) => points(document, &inline.selection_set, first),
    };
    set.selections.iter().map(one).sum()
}

#[test]
fn every_query_costs_far_less_than_linear_takes() {
    let Some(schema) = check::linear() else { return };
    for (name, text) in query::EVERY {
        // The largest that the provider asks for.
        let (first, comments, teams) = match name {
            "ISSUES" | "MORE_ISSUES" | "SEARCH" => (50.0, 5.0, 0.0),
            "ISSUE" => (1.0, 20.0, 0.0),
            "PROJECT" => (1.0, 0.0, 250.0),
            _ => (250.0, 0.0, 5.0),
        };
        let variables =
            BTreeMap::from([("first", first), ("comments", comments), ("teams", teams)]);
        let document = ExecutableDocument::parse_and_validate(schema, text, name).unwrap();
        let operation = document.operations.get(None).unwrap();
        let cost = points(&document, &operation.selection_set, &variables);
        println!("{name:>18} {cost:>8.1}");
        let most = match name {
            // Fifty issues with their leaves; 250,000 points an hour are 150 such pages.
            "ISSUES" | "MORE_ISSUES" => 1_700.0,
            "ISSUE" => 100.0,
            // Once a minute.
            "CHANGED" => 350.0,
            "CHANGED_OBJECTS" => 250.0,
            _ => 1_500.0,
        };
        assert!(cost <= most, "{name} costs {cost:.1} points");
    }
}
