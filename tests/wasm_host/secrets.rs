//! A secret never enters a provider's memory, whatever the provider asks for.

use crate::support::*;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use omnifs::capability::validators::Validators;
use omnifs::capability::{Outbound, Override, Setup};
use omnifs::credentials::Environment;
use omnifs::provider::{Credential, Endpoint, Manifest, Method, Provider};
use omnifs::wasm::Instance;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const SECRET: &str = "ghp_fedcba9876543210SECRET";
/// What the control run looks for: the service's answer holds it.
const WORD: &str = "a word that the service says";

/// As the provider's `search` reads its needle.
fn masked(text: &str) -> String {
    text.bytes().map(|byte| format!("{:02x}", byte ^ 0xa5)).collect()
}

/// The real way out of the sandbox to a service at `url`, with the secret as its credential.
fn outbound(url: &str) -> Outbound {
    let credential = Credential {
        name: "token".to_owned(),
        environment_elsewhere: vec!["EXAMPLE_TOKEN".to_owned()],
        ..Credential::default()
    };
    let endpoint = Endpoint {
        name: "service".to_owned(),
        default_url: "https://api.example.test".to_owned(),
        allow: vec![(Method::Get, "/**".to_owned())],
        credentials: vec!["token".to_owned()],
        purpose: "tests".to_owned(),
        ..Endpoint::default()
    };
    let manifest = Manifest {
        name: "evil".to_owned(),
        endpoints: vec![endpoint],
        credentials: vec![credential],
        ..Manifest::default()
    };
    let environment =
        Environment::from_fn(|name| (name == "EXAMPLE_TOKEN").then(|| SECRET.to_owned()));
    let mut setup = Setup::new("evil", manifest, Arc::new(Validators::new(1 << 20)));
    setup.environment = environment;
    setup.overrides.insert("service".to_owned(), Override::from(url));
    Outbound::new(setup).unwrap()
}

#[tokio::test]
async fn the_credential_of_a_request_is_nowhere_in_the_guests_memory() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answer = async |State(seen): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap| {
        let sent = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().extend(sent);
        WORD
    };
    let router = Router::new().route("/thing", get(answer)).with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let manifest = HOSTILE.describe().await.unwrap();
    for (needle, expected) in [(SECRET, "not found"), (WORD, "found")] {
        let config = BTreeMap::from([("given".to_owned(), masked(needle))]);
        let upstream = Arc::new(outbound(&url));
        let instance =
            Instance::new("evil", HOSTILE.clone(), &manifest, &config, Some(upstream), short());
        let answer = instance.list_children("search").await.unwrap();
        assert_eq!(only_text(&answer), format!("{} {expected}", WORD.len()), "{needle}");
    }
    let bearer = format!("Bearer {SECRET}");
    assert_eq!(*seen.lock().unwrap(), [bearer.clone(), bearer], "the secret was sent each time");
}
