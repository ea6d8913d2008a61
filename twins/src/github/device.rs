//! The device flow (RFC 8628) as GitHub has it beside its API: pending is an answer with status 200.

use serde_json::{Value, json};
use std::sync::Mutex;

use crate::clock::lock;
use crate::server::{Answer, Incoming};

const START: &str = "/login/device/code";
const TOKEN: &str = "/login/oauth/access_token";
const DEVICE_CODE: &str = "device-code-of-the-twin";
const USER_CODE: &str = "WDJB-MJHT";

/// One login at a time.
#[derive(Debug, Default)]
pub(crate) struct Device {
    login: Mutex<Login>,
}

#[derive(Debug, Default)]
struct Login {
    asked: bool,
    /// The user's word, with the token that it brings.
    token: Option<String>,
}

impl Device {
    /// The user approves the login that is under way, or the next one.
    pub fn approve(&self, token: &str) {
        lock(&self.login).token = Some(token.to_owned());
    }

    pub fn is_asked(&self) -> bool {
        lock(&self.login).asked
    }

    /// The answer to a request of the flow, and the token that it has issued.
    pub fn answer(&self, request: &Incoming, origin: &str) -> Option<(Answer, Option<String>)> {
        if request.method != "POST" || ![START, TOKEN].contains(&&*request.path) {
            return None;
        }
        let form: Vec<(String, String)> = url_pairs(&request.body);
        let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        if field("client_id").is_none_or(str::is_empty) {
            return Some((json_answer(json!({"error": "incorrect_client_credentials"})), None));
        }
        let mut login = lock(&self.login);
        if request.path == START {
            login.asked = true;
            return Some((
                json_answer(json!({
                    "device_code": DEVICE_CODE, "user_code": USER_CODE, "expires_in": 900,
                    "interval": 0, "verification_uri": format!("{origin}/login/device"),
                })),
                None,
            ));
        }
        if !login.asked || field("device_code") != Some(DEVICE_CODE) {
            return Some((json_answer(json!({"error": "incorrect_device_code"})), None));
        }
        let issued = login.token.take();
        let body = match &issued {
            Some(token) => json!({"access_token": token, "token_type": "bearer", "scope": ""}),
            None => json!({"error": "authorization_pending"}),
        };
        Some((json_answer(body), issued))
    }
}

fn json_answer(body: Value) -> Answer {
    let answer = Answer::new(200, "application/json; charset=utf-8", body.to_string());
    Answer { counted: false, ..answer }
}

fn url_pairs(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| crate::server::decode(&text.replace('+', " "));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}
