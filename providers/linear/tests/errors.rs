//! Refusals and broken answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use omnifs_linear::Linear;
use omnifs_sdk::Error;
use omnifs_sdk::testing::{Mount, Recorded};
use serde_json::json;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let mount =
        Mount::<Linear>::new(Recorded::new().answer("POST /graphql", status, headers, body));
    mount.list("teams").unwrap_err()
}

fn refusal(status: u16, code: &str, message: &str) -> Error {
    let body = json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    answer(status, &[], &body.to_string())
}

#[test]
fn only_a_missing_entity_is_not_found() {
    let message = "Entity not found: Issue";
    assert!(matches!(refusal(200, "INPUT_ERROR", message), Error::NotFound));
    assert!(matches!(refusal(400, "INPUT_ERROR", message), Error::NotFound));
    for (status, code, expected) in [
        (400, "GRAPHQL_VALIDATION_FAILED", "api: 400: no such field"),
        (200, "INPUT_ERROR", "api: 200: no such field"),
        (400, "OTHER", "api: 400: no such field"),
    ] {
        match refusal(status, code, "no\nsuch field") {
            Error::Invalid(text) => assert_eq!(text, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_address_without_the_service_says_nothing_of_any_issue() {
    for status in [404, 410] {
        for error in [answer(status, &[], "<html>"), refusal(status, "NOT_FOUND", "Not found")] {
            let Error::Invalid(text) = error else { panic!("{error:?}") };
            assert!(text.contains("check the endpoint's address"), "{text}");
        }
    }
}

#[test]
fn a_refused_credential_is_denied() {
    for (status, code) in
        [(401, "AUTHENTICATION_ERROR"), (400, "AUTHENTICATION_ERROR"), (403, "FORBIDDEN")]
    {
        assert!(matches!(refusal(status, code, "not authenticated"), Error::Denied(_)), "{status}");
    }
    assert!(matches!(answer(403, &[], "<html>"), Error::Denied(_)));
}

#[test]
fn throttling_says_until_when() {
    assert!(matches!(answer(429, &[("retry-after", "7")], ""), Error::RateLimited(Some(7))));
}

#[test]
fn a_service_that_fails_is_unavailable_and_half_an_answer_is_invalid() {
    assert!(matches!(refusal(500, "INTERNAL_SERVER_ERROR", "oops"), Error::Unavailable(_)));
    assert!(matches!(answer(503, &[], "<html>"), Error::Unavailable(_)));
    assert!(matches!(answer(504, &[], ""), Error::TimedOut));
    for body in ["", "{\"data\":{\"teams\":", "<html>", "{\"data\":{\"teams\":null}}", "{}"] {
        assert!(matches!(answer(200, &[], body), Error::Invalid(_)), "{body}");
    }
}

#[test]
fn data_beside_an_error_is_not_taken() {
    let body = json!({
        "data": { "teams": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } } },
        "errors": [{ "message": "half of it failed", "extensions": {} }],
    });
    assert!(matches!(answer(200, &[], &body.to_string()), Error::Invalid(_)));
}
