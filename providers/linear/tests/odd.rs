//! Every listing with a hundred items of which one is odd, in each field that is asked for and in
//! each way. The items are made after Linear's own schema.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::{Selection, SelectionSet};
use omnifs_descriptions as check;
use omnifs_linear::{Linear, query};
use omnifs_sdk::Error;
use omnifs_sdk::testing::{Mount, Recorded, odd};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The item that is odd.
const ODD: usize = 50;

/// A listing: its path, the query that it is one request of, and where in its data the items are.
const LISTINGS: [(&str, &str, &str); 13] = [
    ("teams", query::TEAMS, "/teams/nodes"),
    ("users", query::USERS, "/users/nodes"),
    ("projects", query::PROJECTS, "/projects/nodes"),
    ("teams/ENG0/states", query::STATES, "/team/states/nodes"),
    ("teams/ENG0/issues/by-state", query::STATES, "/team/states/nodes"),
    ("teams/ENG0/cycles", query::CYCLES, "/team/cycles/nodes"),
    ("teams/ENG0/projects", query::TEAM_PROJECTS, "/team/projects/nodes"),
    ("teams/ENG0/members", query::MEMBERS, "/team/members/nodes"),
    ("teams/ENG0/issues/_open", query::ISSUES, "/issues/nodes"),
    ("teams/ENG0/issues/_all", query::ISSUES, "/issues/nodes"),
    ("my/assigned", query::ISSUES, "/issues/nodes"),
    ("my/created", query::ISSUES, "/issues/nodes"),
    ("my/created/ENG-1/comments", query::ISSUE_COMMENTS, "/issue/comments/nodes"),
];

fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What the schema says that these fields may hold, for the object of this number. A list holds
/// `many`; those in it hold two, but for states, of which the first teams have a hundred.
fn object(document: &ExecutableDocument, set: &SelectionSet, number: usize, many: usize) -> Value {
    let mut made = Map::new();
    for selection in &set.selections {
        let field = match selection {
            Selection::Field(field) => field,
            Selection::FragmentSpread(spread) => {
                let inside = &spread.fragment_def(document).unwrap().selection_set;
                let Value::Object(fields) = object(document, inside, number, many) else {
                    continue;
                };
                made.extend(fields);
                continue;
            }
            Selection::InlineFragment(_) => panic!("no query has one"),
        };
        let name = field.response_key().as_str();
        let inside = &field.selection_set;
        let value = match (name, field.ty().inner_named_type().as_str()) {
            ("labelIds", _) => json!([uuid(0)]),
            ("trashed" | "archivedAt" | "endCursor", _) => Value::Null,
            ("hasNextPage", _) => json!(false),
            ("identifier", _) => json!(format!("ENG-{number}")),
            ("key", _) => json!(format!("ENG{number}")),
            ("id" | "issueId", _) => json!(uuid(number)),
            ("type", _) => json!("started"),
            (_, "Float" | "Int") => json!(number),
            (_, "Boolean") => json!(true),
            (_, "DateTime") => json!("2026-01-05T09:07:03.250Z"),
            (_, "TimelessDate") => json!("2026-01-05"),
            (_, "String") => json!(format!("{name} {number}")),
            ("nodes", _) => (0..many).map(|number| object(document, inside, number, 2)).collect(),
            (_, _) => {
                assert!(!field.selection_set.is_empty(), "{name} is a {}", field.ty());
                let many = if name == "states" && number < 2 { 100 } else { many };
                object(document, inside, number, many)
            }
        };
        made.insert(name.to_owned(), value);
    }
    made.into()
}

/// Each query and what the service answers to it.
type Answers = Rc<Vec<(&'static str, String)>>;

/// A service with `many` of everything; `None` where Linear's schema cannot be had.
fn answers(many: usize) -> Option<Answers> {
    let schema = check::linear()?;
    let answer = |(name, text): (&str, &'static str)| {
        let document = ExecutableDocument::parse_and_validate(schema, text, name).unwrap();
        let operation = document.operations.get(None).unwrap();
        let data = object(&document, &operation.selection_set, 1, many);
        (text, json!({ "data": data }).to_string())
    };
    Some(Rc::new(query::EVERY.into_iter().map(answer).collect()))
}

/// An answer around one item.
#[derive(Clone)]
struct Around {
    asked: &'static str,
    before: Rc<str>,
    behind: Rc<str>,
}

/// The answer to `asked` around what stands at `place`.
fn around(answers: &Answers, asked: &'static str, place: &str) -> Around {
    let (_, answer) = answers.iter().find(|(text, _)| *text == asked).unwrap();
    let mut answer: Value = serde_json::from_str(answer).unwrap();
    *answer["data"].pointer_mut(place).unwrap() = json!("omnifs:place");
    let text = answer.to_string();
    let (before, behind) = text.split_once("\"omnifs:place\"").unwrap();
    Around { asked, before: before.into(), behind: behind.into() }
}

/// The workspace, with this item in its place.
fn mount(answers: &Answers, odd: Option<(&Around, &str)>) -> Mount<Linear> {
    let answers = answers.clone();
    let changed = odd.map(|(Around { asked, before, behind }, odd)| {
        (*asked, format!("{before}{odd}{behind}").into_bytes())
    });
    Mount::new(Recorded::new().otherwise(move |_, _, body| {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = body["query"].as_str().unwrap();
        let answer = match &changed {
            Some((asked, changed)) if text == *asked => changed.clone(),
            _ => {
                let (_, answer) = answers.iter().find(|(known, _)| *known == text).unwrap();
                answer.clone().into_bytes()
            }
        };
        let date = ("date".to_owned(), "Thu, 26 Nov 2026 12:00:00 GMT".to_owned());
        (200, vec![date], answer)
    }))
}

/// What stands at `place` in the answer to `asked`.
fn at(answers: &Answers, asked: &str, place: &str) -> Value {
    let (_, answer) = answers.iter().find(|(text, _)| *text == asked).unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    answer["data"].pointer(place).unwrap().clone()
}

#[test]
fn of_a_hundred_items_one_is_odd_and_the_others_are_shown() {
    let Some(answers) = answers(100) else { return };
    let mut seen = BTreeSet::new();
    for (path, asked, list) in LISTINGS {
        let place = format!("{list}/{ODD}");
        let item = &at(&answers, asked, &place);
        let names: BTreeSet<String> =
            mount(&answers, None).list(path).unwrap().into_iter().collect();
        let around = around(&answers, asked, &place);
        assert_eq!(names.len(), 100, "{path}");
        let cases = odd(item);
        assert!(cases.len() > 15, "{path}");
        let mut left_out = 0;
        // Of nine ways for each field, two or three where the answer is large, and of what another
        // listing has shown with the same answer, some.
        let first = if asked == query::ISSUES { 4 } else { 1 };
        let step = if seen.insert(asked) { first } else { 13 };
        for (what, text) in cases.into_iter().step_by(step) {
            let linear = mount(&answers, Some((&around, &text)));
            let shown = linear.list(path).unwrap_or_else(|e| panic!("{path}: {what}: {e:?}"));
            let lost = names.iter().filter(|name| !shown.contains(name)).count();
            assert!(lost <= 1, "{path}: {what}: {lost} are missing");
            if shown.len() == 100 {
                continue;
            }
            left_out += 1;
            let field = what.split(['/', ' ']).nth(1).unwrap();
            let note = linear.partials().into_iter().map(|(_, _, note)| note).next_back();
            let note = note.unwrap_or_else(|| panic!("{path}: {what} is left out without a word"));
            let by = ["identifier", "name", "key", "displayName", "number", "id", "url"];
            let by = by.iter().filter_map(|name| match &item[*name] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            });
            let named = by.into_iter().any(|name| note.contains(&name));
            assert!(named && note.contains(field), "{path}: {what}: {note}");
        }
        assert!(left_out > 0, "{path}: none of them was odd");
    }
}

#[test]
fn an_odd_comment_or_label_leaves_its_issue_whole_otherwise() {
    let Some(answers) = answers(100) else { return };
    for (place, leaf) in [("/comments/nodes/0", "comments"), ("/labels/nodes/0", "labels")] {
        let single = leaf == "labels";
        let asked = if single { query::ISSUE } else { query::ISSUES };
        let top = if single { "/issue".to_owned() } else { format!("/issues/nodes/{ODD}") };
        let place = format!("{top}{place}");
        let around = around(&answers, asked, &place);
        for (what, text) in odd(&at(&answers, asked, &place)) {
            let linear = mount(&answers, Some((&around, &text)));
            let path = if single {
                "my/created/ENG-1".to_owned()
            } else {
                assert_eq!(linear.list("my/created").unwrap().len(), 100, "{what}");
                assert!(linear.partials().is_empty(), "{what}: no issue is left out");
                format!("my/created/ENG-{ODD}")
            };
            assert!(linear.read(&format!("{path}/title")).unwrap().starts_with("title "));
            assert!(linear.list(&path).unwrap().contains(&leaf.to_owned()), "{what}");
            if single {
                assert!(!linear.read(&format!("{path}/labels")).unwrap().is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn who_asks_for_the_odd_one_by_name_is_told_why_it_is_not_shown() {
    let Some(answers) = answers(100) else { return };
    for (path, asked, list) in [
        ("users/displayName 0", query::USERS, "/users/nodes/0"),
        ("teams/ENG0", query::TEAM, "/teams/nodes/0"),
        ("teams/ENG0/cycles/0", query::CYCLE_OF, "/cycles/nodes/0"),
    ] {
        let linear = mount(&answers, Some((&around(&answers, asked, list), r#"{"id": null}"#)));
        match linear.stat(path).map(|node| node.name) {
            // Of a hundred that a question by name found, another one is the answer.
            Ok(name) => panic!("{path} is {name}"),
            Err(Error::Invalid(_) | Error::NotFound) => {}
            Err(error) => panic!("{path}: {error:?}"),
        }
    }
    // Nobody else is found beside the odd one.
    let only = Rc::new(vec![(query::USERS, r#"{"data":{"users":{"nodes":[null]}}}"#.to_owned())]);
    let linear =
        mount(&only, Some((&around(&only, query::USERS, "/users/nodes/0"), r#"{"id": 7}"#)));
    assert!(matches!(linear.stat("users/displayName 0"), Err(Error::Invalid(_))));
}

#[test]
fn a_change_that_cannot_be_read_is_a_gap_once() {
    use omnifs_linear::ISSUES;
    use omnifs_sdk::Position;
    let Some(answers) = answers(2) else { return };
    let linear = mount(
        &answers,
        Some((&around(&answers, query::CHANGED, "/issues/nodes/0"), r#"{"id": "x"}"#)),
    );
    let mut position = Position { scope: ISSUES.to_owned(), ..Position::default() };
    position.cursor = mount(&answers, None).poll(&position).unwrap().cursor;
    let gap = |changes: &omnifs_sdk::Changes| {
        changes.0.iter().any(|change| matches!(change, omnifs_sdk::events::Change::Gap(_)))
    };
    let first = linear.poll(&position).unwrap();
    assert!(gap(&first.changes), "{:?}", first.changes);
    position.cursor = first.cursor;
    assert!(!gap(&linear.poll(&position).unwrap().changes), "said once");
}
