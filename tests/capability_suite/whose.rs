//! The request that tells whose a credential is.

use super::server::{Server, answer};
use super::*;
use omnifs::credentials::{CredentialState, CredentialStatus};
use omnifs::provider::Probe;

/// A manifest whose credential is asked about by `GET /things/me`, or by GraphQL with a body.
fn probed(url: &str, body: Option<&str>) -> Setup {
    let mut setup = setup(url);
    setup.manifest.credentials[0].whose = Some(Probe {
        endpoint: "api".to_owned(),
        method: if body.is_some() { Method::Post } else { Method::Get },
        path: if body.is_some() { "/graphql" } else { "/things/me" }.to_owned(),
        body: body.map(str::to_owned),
        name: "/data/me".to_owned(),
    });
    setup.limits.total = Duration::from_millis(500);
    setup
}

async fn asked(setup: Setup) -> CredentialStatus {
    let outbound = Outbound::new(setup).unwrap();
    outbound.ask_whose().await;
    let status = outbound.credentials().remove(0);
    assert!(!format!("{status:?}").contains(SECRET), "{status:?}");
    status
}

#[tokio::test]
async fn the_service_says_whose_a_credential_is() {
    for body in [None, Some("{\"query\":\"{ me }\"}")] {
        let server = Server::start(|_, _| answer(200, "", "{\"data\":{\"me\":\"mira\"}}")).await;
        let status = asked(probed(&server.url(), body)).await;
        assert_eq!(status.state, CredentialState::Accepted);
        assert_eq!(status.owner.as_deref(), Some("mira"));
        assert_eq!(status.source.as_deref(), Some("environment variable EXAMPLE_TOKEN_HERE"));
        assert_eq!(status.summary(), "token from environment variable EXAMPLE_TOKEN_HERE, of mira");
        let seen = server.seen.requests().remove(0);
        assert_eq!(seen.contains("content-type: application/json"), body.is_some(), "{seen}");
    }
}

#[tokio::test]
async fn each_answer_is_told_for_what_it_is() {
    use CredentialState::{Accepted, Refused, Unknown};
    for (status, body, state, part) in [
        (401, "", Refused, "does not accept credential"),
        (403, "", Unknown, "it answered 403"),
        (404, "", Unknown, "it answered 404"),
        (500, "", Unknown, "it answered 500"),
        (429, "", Unknown, "could not be asked"),
        (200, "{\"errors\":[{}]}", Unknown, "does not say whose"),
        (200, "not json", Unknown, "does not say whose"),
        (200, "{\"data\":{\"me\":7}}", Accepted, ""),
    ] {
        let server = Server::start(move |_, _| answer(status, "", body)).await;
        let got = asked(probed(&server.url(), None)).await;
        assert_eq!(got.state, state, "{status} {body}: {got:?}");
        assert!(got.detail.clone().unwrap_or_default().contains(part), "{got:?}");
        assert_eq!(got.owner.as_deref(), (state == Accepted).then_some("7"));
    }
}

#[tokio::test]
async fn nothing_is_asked_without_a_secret_and_a_service_that_is_away_refuses_nothing() {
    let server = Server::start(|_, _| answer(200, "", "{}")).await;
    let mut setup = probed(&server.url(), None);
    setup.environment = environment(&[]);
    assert_eq!(asked(setup).await.state, CredentialState::Missing);
    assert_eq!(server.seen.connections(), 0);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let status = asked(probed(&format!("http://{closed}"), None)).await;
    assert_eq!(status.state, CredentialState::Unknown);
    assert!(!status.state.is_bad());
    assert!(status.detail.as_deref().is_some_and(|d| d.contains("is it running?")), "{status:?}");
}

#[tokio::test]
async fn what_is_known_of_a_credential_follows_its_use() {
    let server = Server::start(|number, _| match number {
        1 => answer(401, "", ""),
        _ => answer(200, "", "{\"data\":{\"me\":\"mira\"}}"),
    })
    .await;
    let outbound = Outbound::new(probed(&server.url(), None)).unwrap();
    let state = || outbound.credentials().remove(0).state;
    assert_eq!(state(), CredentialState::Unknown);
    fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!(state(), CredentialState::Accepted);
    fails(&outbound, get("/things/1")).await;
    assert_eq!(state(), CredentialState::Refused);
    fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!(state(), CredentialState::Accepted);
}

#[tokio::test]
async fn a_probe_outside_of_the_allowed_requests_is_not_made() {
    let server = Server::start(|_, _| answer(200, "", "{}")).await;
    let mut setup = probed(&server.url(), None);
    setup.manifest.credentials[0].whose.as_mut().unwrap().path = "/elsewhere".to_owned();
    let status = asked(setup).await;
    assert_eq!(status.state, CredentialState::Unknown);
    assert!(status.detail.is_some_and(|d| d.contains("the manifest allows no GET /elsewhere")));
    assert_eq!(server.seen.connections(), 0);
}
