//! What Linear's provider asks, and which of it are polls.

use omnifs_twins::Request;
use serde_json::Value;

/// `Issues` of `query Issues(...) {...}`.
pub fn query(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = body["query"].as_str().unwrap_or_default();
    let name = text.trim_start_matches("query ").split(['(', ' ', '{']).next();
    name.unwrap_or_default().to_owned()
}

/// What only polls ask.
pub fn is_poll(query: &str) -> bool {
    query.starts_with("Changed") || query == "Concerned" || query == "Led"
}
