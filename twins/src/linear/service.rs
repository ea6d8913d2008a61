//! What stands between a request and its data at Linear: credentials, the two budgets, and the
//! way errors are told.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::http::Method;
use serde_json::{Value, json};

use super::LinearSetup;
use super::data::World;
use super::exec::{Execution, complexity};
use super::schema::admit;
use crate::clock::{http_date, lock};
use crate::fault::Fault;
use crate::history::History;
use crate::requests::{credential_hash, secret_of};
use crate::rng::Rng;
use crate::server::{Answer, Harness, Incoming, Service};

const HOUR_MS: i64 = 3_600_000;
/// The most points of one query.
const MAX_QUERY: u64 = 10_000;
const JSON: &str = "application/json; charset=utf-8";

#[derive(Debug)]
pub(crate) struct Shared {
    pub harness: Harness,
    pub state: Mutex<State>,
    pub tokens: Mutex<Vec<String>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub world: World,
    pub history: History,
    pub limits: Limits,
    pub points: u64,
    pub comments_touch_issue: bool,
    pub rng: Rng,
}

/// One hour's budgets for each credential. The service refills them steadily; the twin does so at
/// the hour's end, which is the harder case and the same on every run.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: u64,
    points: u64,
    windows: HashMap<String, Window>,
    /// What a credential not seen yet has already used.
    used: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    requests: u64,
    points: u64,
    reset_ms: i64,
}

impl Limits {
    pub fn set_requests(&mut self, limit: u64, remaining: u64) {
        self.requests = limit;
        self.used.0 = limit.saturating_sub(remaining);
        for window in self.windows.values_mut() {
            window.requests = self.used.0;
        }
    }

    pub fn set_points(&mut self, limit: u64, remaining: u64) {
        self.points = limit;
        self.used.1 = limit.saturating_sub(remaining);
        for window in self.windows.values_mut() {
            window.points = self.used.1;
        }
    }

    fn window(&mut self, credential: &str, now_ms: i64) -> &mut Window {
        let (requests, points) = self.used;
        let fresh = Window { requests, points, reset_ms: now_ms + HOUR_MS };
        let window = self.windows.entry(credential.to_owned()).or_insert(fresh);
        if window.reset_ms <= now_ms {
            *window = Window { requests: 0, points: 0, reset_ms: now_ms + HOUR_MS };
        }
        window
    }

    fn headers(&mut self, credential: &str, now_ms: i64, answer: &mut Answer) {
        let (requests, points) = (self.requests, self.points);
        let window = *self.window(credential, now_ms);
        let left = requests.saturating_sub(window.requests);
        answer.set("x-ratelimit-requests-limit", requests.to_string());
        answer.set("x-ratelimit-requests-remaining", left.to_string());
        answer.set("x-ratelimit-requests-reset", window.reset_ms.to_string());
        let left = points.saturating_sub(window.points);
        answer.set("x-ratelimit-complexity-limit", points.to_string());
        answer.set("x-ratelimit-complexity-remaining", left.to_string());
        answer.set("x-ratelimit-complexity-reset", window.reset_ms.to_string());
    }

    /// What `rateLimitStatus` shows.
    fn document(&mut self, credential: &str, now_ms: i64) -> Value {
        let (requests, points) = (self.requests, self.points);
        let window = *self.window(credential, now_ms);
        let one = |kind: &str, allowed: u64, used: u64| {
            json!({
                "type": kind, "period": HOUR_MS, "allowedAmount": allowed,
                "remainingAmount": allowed.saturating_sub(used), "requestedAmount": 1,
                "reset": window.reset_ms,
            })
        };
        let limits =
            [one("requests", requests, window.requests), one("complexity", points, window.points)];
        json!({"kind": "apiKey", "identifier": credential, "limits": limits})
    }
}

impl Shared {
    pub fn new(world: World, setup: &LinearSetup, rng: Rng) -> Self {
        let floor = world.newest().div_euclid(1000);
        let limits = Limits {
            requests: setup.request_limit,
            points: setup.complexity_limit,
            windows: HashMap::new(),
            used: (0, 0),
        };
        Self {
            harness: Harness::new(floor),
            state: Mutex::new(State {
                world,
                history: History::default(),
                limits,
                points: 0,
                comments_touch_issue: false,
                rng,
            }),
            tokens: Mutex::new(setup.tokens.clone()),
        }
    }

    /// API keys come as they are, OAuth tokens after `Bearer`; the twin takes both for each.
    fn admit(&self, request: &Incoming) -> Option<String> {
        let tokens = lock(&self.tokens);
        match request.header("authorization").map(secret_of) {
            None if tokens.is_empty() => Some("anonymous".to_owned()),
            Some(secret) if tokens.is_empty() || tokens.iter().any(|t| t == secret) => {
                Some(credential_hash(secret))
            }
            _ => None,
        }
    }

    fn execute(&self, request: &Incoming, credential: &str) -> Answer {
        let Ok(posted) = serde_json::from_slice::<Value>(&request.body) else {
            return refusal(400, "INPUT_ERROR", "invalid input", "The body is not JSON.");
        };
        let Some(query) = posted.get("query").and_then(Value::as_str) else {
            return refusal(400, "INPUT_ERROR", "invalid input", "The body holds no query.");
        };
        let bad =
            |message: &str| refusal(400, "GRAPHQL_VALIDATION_FAILED", "graphql error", message);
        let document = match graphql_parser::parse_query::<String>(query) {
            Ok(document) => document.into_static(),
            Err(error) => {
                let message = format!("Syntax Error: {error}");
                return refusal(400, "GRAPHQL_PARSE_FAILED", "graphql error", &message);
            }
        };
        let name = posted.get("operationName").and_then(Value::as_str);
        let nothing = Value::Null;
        let variables = posted.get("variables").unwrap_or(&nothing);
        let operation = match admit(&document, name, variables) {
            Ok(operation) => operation,
            Err(message) => return bad(&message),
        };
        let cost = complexity(&operation);
        if cost > MAX_QUERY {
            let message =
                format!("Query too complex: {cost} points. A query may cost at most {MAX_QUERY}.");
            return bad(&message).with("x-complexity", cost.to_string());
        }
        let now = self.harness.clock.now_ms();
        let mut state = lock(&self.state);
        let budget = state.limits.document(credential, now);
        let limits = (state.limits.requests, state.limits.points);
        let window = state.limits.window(credential, now);
        if window.requests >= limits.0 || window.points + cost > limits.1 {
            return limited().with("x-complexity", cost.to_string());
        }
        window.requests += 1;
        window.points += cost;
        state.points += cost;
        let execution = Execution { world: &state.world, operation: &operation, now, budget };
        let answer = match execution.run() {
            Ok(data) => Answer::new(200, JSON, json!({"data": data}).to_string()),
            Err(failure) => {
                let mut body = document_of(&failure.message, "INPUT_ERROR", "invalid input", 400);
                body["errors"][0]["path"] = json!(failure.path);
                body["data"] = Value::Null;
                Answer::new(200, JSON, body.to_string())
            }
        };
        answer.with("x-complexity", cost.to_string())
    }
}

fn document_of(message: &str, code: &str, kind: &str, status: u16) -> Value {
    json!({"errors": [{
        "message": message,
        "extensions": {
            "code": code, "type": kind, "statusCode": status, "userError": true,
            "userPresentableMessage": message,
        },
    }]})
}

fn refusal(status: u16, code: &str, kind: &str, message: &str) -> Answer {
    let body = document_of(message, code, kind, status).to_string();
    Answer { counted: false, ..Answer::new(status, JSON, body) }
}

/// Linear tells of a used-up budget with 400 and a code.
fn limited() -> Answer {
    refusal(400, "RATELIMITED", "ratelimited", "Rate limit exceeded. Try again later.")
}

impl Service for Shared {
    fn name(&self) -> &'static str {
        "graphql"
    }

    fn harness(&self) -> &Harness {
        &self.harness
    }

    fn answer(&self, request: &Incoming) -> Answer {
        let date = http_date(self.harness.clock.now());
        if request.path != "/graphql" {
            return refusal(404, "NOT_FOUND", "invalid input", "Not found").with("date", date);
        }
        if request.method != Method::POST {
            let message = "Only POST is answered here.";
            return refusal(405, "INPUT_ERROR", "invalid input", message).with("date", date);
        }
        let content_type = request.header("content-type").unwrap_or_default();
        if !content_type.starts_with("application/json") {
            let message = "The content type must be application/json.";
            return refusal(400, "BAD_REQUEST", "invalid input", message).with("date", date);
        }
        let Some(credential) = self.admit(request) else {
            let message = "Authentication required, not authenticated";
            return refusal(401, "AUTHENTICATION_ERROR", "authentication error", message)
                .with("date", date);
        };
        let mut answer = self.execute(request, &credential).with("date", date);
        let now = self.harness.clock.now_ms();
        lock(&self.state).limits.headers(&credential, now, &mut answer);
        answer
    }

    fn refuse(&self, fault: Fault, request: &Incoming) -> Answer {
        let mut answer = match fault {
            Fault::Status(401) => refusal(
                401,
                "AUTHENTICATION_ERROR",
                "authentication error",
                "Authentication required, not authenticated",
            ),
            Fault::Status(403) => refusal(403, "FORBIDDEN", "forbidden", "Forbidden"),
            Fault::Status(404) => refusal(404, "NOT_FOUND", "invalid input", "Not found"),
            Fault::Status(status) => {
                refusal(status, "INTERNAL_SERVER_ERROR", "internal error", "Internal server error")
            }
            Fault::TooMany { .. } => {
                refusal(429, "RATELIMITED", "ratelimited", "Too many requests")
            }
            _ => limited(),
        };
        let now = self.harness.clock.now_ms();
        let credential = self.admit(request).unwrap_or_else(|| "anonymous".to_owned());
        lock(&self.state).limits.headers(&credential, now, &mut answer);
        match fault {
            Fault::PrimaryLimit { reset_in } => {
                answer.set("x-ratelimit-requests-remaining", "0");
                let reset = now + i64::from(reset_in) * 1000;
                answer.set("x-ratelimit-requests-reset", reset.to_string());
            }
            Fault::SecondaryLimit { retry_after } | Fault::TooMany { retry_after } => {
                answer.set("retry-after", retry_after.to_string());
            }
            _ => {}
        }
        answer.with("date", http_date(self.harness.clock.now()))
    }
}
