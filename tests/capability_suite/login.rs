//! OAuth logins against a service on loopback.

use super::credential;
use axum::extract::State;
use axum::response::Json;
use axum::routing::post;
use axum::{Router, http::StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use omnifs::credentials::keyring::{KeyringError, Lookup};
use omnifs::credentials::login::{LoginError, NotKept, Patience, browser, device, refresh, tried};
use omnifs::credentials::{Chain, Environment, Secret, Sources};
use omnifs::provider::{Credential, OAuth};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

type Fields = HashMap<String, String>;

/// Answers of the token endpoint, in order, and the forms it was sent.
#[derive(Default)]
struct Service {
    answers: Mutex<Vec<(u16, Value)>>,
    forms: Mutex<Vec<Fields>>,
}

async fn token(State(service): State<Arc<Service>>, form: String) -> (StatusCode, Json<Value>) {
    let form: Fields = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    service.forms.lock().unwrap().push(form);
    let (status, answer) = service.answers.lock().unwrap().remove(0);
    (StatusCode::from_u16(status).unwrap(), Json(answer))
}

async fn start(answers: Vec<(u16, Value)>) -> (OAuth, Arc<Service>) {
    let service = Arc::new(Service { answers: Mutex::new(answers), ..Service::default() });
    let code = || async {
        Json(json!({
            "device_code": "device-code-1", "user_code": "ABCD-1234", "expires_in": 5,
            "verification_uri": "https://example.test/device", "interval": 0,
        }))
    };
    let router = Router::new()
        .route("/token", post(token))
        .route("/device", post(code))
        .with_state(service.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let oauth = OAuth {
        authorize_url: format!("{base}/authorize"),
        device_url: Some(format!("{base}/device")),
        token_url: format!("{base}/token"),
        client_id: Some("client-1".to_owned()),
        scopes: vec!["read".to_owned(), "issues".to_owned()],
        elsewhere: false,
    };
    (oauth, service)
}

fn patience() -> Patience {
    Patience {
        approval: Duration::from_secs(5),
        request: Duration::from_secs(5),
        interval: Duration::from_millis(10),
    }
}

fn message<T>(result: Result<T, LoginError>) -> String {
    let error = match result {
        Ok(_) => panic!("the login must fail"),
        Err(error) => error.to_string(),
    };
    for secret in ["device-code-1", "code-from-browser", "refresh-1", "access-1"] {
        assert!(!error.contains(secret), "{error}");
    }
    error
}

#[tokio::test]
async fn the_device_flow_waits_for_the_approval() {
    let pending = (400, json!({"error": "authorization_pending"}));
    let granted = json!({"access_token": "access-1", "token_type": "bearer", "scope": "read"});
    // GitHub says "pending" with status 200.
    let also = (200, json!({"error": "authorization_pending", "error_description": "wait"}));
    let (oauth, service) = start(vec![pending, also, (200, granted)]).await;
    let mut shown = None;
    let tokens = device(&oauth, None, &patience(), |prompt| shown = Some(prompt.clone())).await;
    let tokens = tokens.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tokens.access.expose(), "access-1");
    let shown = shown.unwrap();
    assert_eq!(
        (shown.page.as_str(), shown.code.as_str()),
        ("https://example.test/device", "ABCD-1234")
    );
    let forms = service.forms.lock().unwrap();
    assert_eq!(forms.len(), 3);
    assert_eq!(forms[2]["device_code"], "device-code-1");
    assert_eq!(forms[2]["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(forms[2]["client_id"], "client-1");
}

#[tokio::test]
async fn the_device_flow_ends_when_it_is_refused_or_expires() {
    let (oauth, _) = start(vec![(400, json!({"error": "access_denied"}))]).await;
    let error = message(device(&oauth, None, &patience(), |_| {}).await);
    assert_eq!(error, "the request was refused in the browser");
    let (oauth, _) = start(vec![(400, json!({"error": "expired_token"}))]).await;
    assert!(message(device(&oauth, None, &patience(), |_| {}).await).contains("start again"));
    let pending = (400, json!({"error": "authorization_pending"}));
    let (oauth, _) = start(vec![pending; 1000]).await;
    let short = Patience { approval: Duration::from_millis(200), ..patience() };
    assert!(message(device(&oauth, None, &short, |_| {}).await).contains("start again"));
    let (oauth, _) = start(vec![(500, json!({}))]).await;
    assert!(message(device(&oauth, None, &patience(), |_| {}).await).contains("status 500"));
    let (mut oauth, _) = start(vec![]).await;
    oauth.client_id = None;
    assert!(message(device(&oauth, None, &patience(), |_| {}).await).contains("client_id"));
    oauth.client_id = Some("c".to_owned());
    oauth.device_url = Some("http://login.example.test/device".to_owned());
    assert!(message(device(&oauth, None, &patience(), |_| {}).await).contains("not an https"));
}

/// What a browser does with the page: goes to the redirect with these fields.
async fn visit(page: Url, change: impl Fn(&mut Fields)) -> Vec<u16> {
    let query: Fields = page.query_pairs().into_owned().collect();
    let mut fields = Fields::from([
        ("code".to_owned(), "code-from-browser".to_owned()),
        ("state".to_owned(), query["state"].clone()),
    ]);
    change(&mut fields);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let redirect = Url::parse(&query["redirect_uri"]).unwrap();
    let mut statuses = Vec::new();
    // What a page of another origin could send first: no state, and a guessed one.
    for state in ["", "?code=evil", "?code=evil&state=guess"] {
        let url = format!("{redirect}{state}");
        statuses.push(client.get(url).send().await.unwrap().status().as_u16());
    }
    let mut url = redirect.clone();
    url.query_pairs_mut().extend_pairs(&fields);
    statuses.push(client.get(url).send().await.unwrap().status().as_u16());
    statuses
}

#[tokio::test]
async fn the_browser_login_takes_only_its_own_redirect_and_proves_its_verifier() {
    let granted =
        json!({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 86400});
    let (oauth, service) = start(vec![(200, granted)]).await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let browsing = tokio::spawn(async move {
        let page: Url = receiver.await.unwrap();
        visit(page, |_| {}).await
    });
    let mut page = None;
    let tokens = browser(&oauth, None, 0, &patience(), |url| {
        page = Some(url.clone());
        sender.send(url.clone()).unwrap();
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(browsing.await.unwrap(), [400, 400, 400, 200]);
    assert_eq!(tokens.access.expose(), "access-1");
    assert_eq!(tokens.refresh.unwrap().expose(), "refresh-1");
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(86400)));
    let page: Fields = page.unwrap().query_pairs().into_owned().collect();
    assert_eq!(page["code_challenge_method"], "S256");
    assert_eq!(page["scope"], "read issues");
    let forms = service.forms.lock().unwrap();
    let form = &forms[0];
    assert_eq!(form["code"], "code-from-browser");
    assert_eq!(form["redirect_uri"], page["redirect_uri"]);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    assert_eq!(challenge, page["code_challenge"]);
}

#[tokio::test]
async fn the_browser_login_ends_when_it_is_refused_or_nobody_comes() {
    let (oauth, _) = start(vec![]).await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let browsing = tokio::spawn(async move {
        let page: Url = receiver.await.unwrap();
        let refuse = |fields: &mut Fields| {
            fields.insert("error".to_owned(), "access_denied".to_owned());
        };
        visit(page, refuse).await
    });
    let result =
        browser(&oauth, None, 0, &patience(), |url| sender.send(url.clone()).unwrap()).await;
    assert_eq!(message(result), "the request was refused in the browser");
    browsing.await.unwrap();
    let short = Patience { approval: Duration::from_millis(100), ..patience() };
    assert!(message(browser(&oauth, None, 0, &short, |_| {}).await).contains("start again"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(message(browser(&oauth, None, port, &short, |_| {}).await).contains("another port"));
}

#[tokio::test]
async fn a_refresh_token_brings_a_new_access_token() {
    let (oauth, service) = start(vec![
        (200, json!({"access_token": "access-2"})),
        (400, json!({"error": "invalid_grant"})),
    ])
    .await;
    let token = Secret::new("refresh-1".to_owned());
    let tokens = refresh(&oauth, Some("client-2"), &token, &patience()).await;
    let tokens = tokens.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tokens.access.expose(), "access-2");
    assert_eq!(service.forms.lock().unwrap()[0]["client_id"], "client-2");
    assert!(message(refresh(&oauth, None, &token, &patience()).await).contains("invalid_grant"));
}

/// The entry of a login whose access token ends at `expires_at`, in seconds since the Unix epoch.
fn kept(access: &str, expires_at: u64) -> Secret {
    let entry = json!({
        "access_token": access, "refresh_token": "refresh-1", "client_id": "client-7",
        "expires_at": expires_at,
    });
    Secret::new(entry.to_string())
}

/// A credential whose keyring holds `entry`, and what it holds afterwards.
fn keyring_chain(oauth: impl Into<Option<OAuth>>, entry: Secret) -> (Chain, Arc<Mutex<Secret>>) {
    let held = Arc::new(Mutex::new(entry));
    let (read, write) = (held.clone(), held.clone());
    let lookup = Lookup::from_fns(
        move |_| Some(read.lock().unwrap().clone()),
        move |entry, secret| {
            // What it was tried out with is another entry.
            if let (true, Some(secret)) = (entry == "example/token", secret) {
                *write.lock().unwrap() = secret;
            }
            Ok(())
        },
    );
    let spec = Credential { oauth: oauth.into(), ..credential() };
    let environment = Environment::empty();
    let sources = Sources { elsewhere: Vec::new(), file: None, environment, keyring: Some(lookup) };
    (Chain::new("example", &spec, sources), held)
}

/// A login was kept, and a later version of the provider has no login any more.
#[tokio::test]
async fn of_a_login_whose_manifest_has_none_any_more_only_the_access_token_is_sent() {
    let entry = kept("access-1", 1_000);
    let (chain, held) = keyring_chain(None, entry.clone());
    assert_eq!(chain.resolve().await.unwrap().unwrap().secret.expose(), "access-1");
    assert_eq!(held.lock().unwrap().expose(), entry.expose(), "the entry stays");
}

#[tokio::test]
async fn a_login_that_has_ended_is_renewed_once_and_kept() {
    let renewed = json!({
        "access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 86_400,
    });
    let (oauth, service) = start(vec![(200, renewed)]).await;
    let (chain, held) = keyring_chain(oauth, kept("access-1", 1_000));
    let chain = Arc::new(chain);
    let all = (0..8).map(|_| {
        let chain = chain.clone();
        tokio::spawn(async move { chain.resolve().await.unwrap().unwrap() })
    });
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found.unwrap().secret.expose(), "access-2");
    }
    let forms = service.forms.lock().unwrap();
    assert_eq!(forms.len(), 1, "a refresh token is used once");
    assert_eq!((&*forms[0]["refresh_token"], &*forms[0]["client_id"]), ("refresh-1", "client-7"));
    let held: Value = serde_json::from_str(held.lock().unwrap().expose()).unwrap();
    assert_eq!(
        (&held["access_token"], &held["refresh_token"]),
        (&json!("access-2"), &json!("refresh-2"))
    );
}

#[tokio::test]
async fn a_login_that_cannot_be_renewed_is_used_as_it_is_and_one_that_lasts_is_left_alone() {
    let (oauth, service) = start(vec![(400, json!({"error": "invalid_grant"}))]).await;
    let (chain, held) = keyring_chain(oauth.clone(), kept("access-1", 1_000));
    assert_eq!(chain.resolve().await.unwrap().unwrap().secret.expose(), "access-1");
    assert!(held.lock().unwrap().expose().contains("refresh-1"), "the entry stays");
    let (chain, _) = keyring_chain(oauth, kept("access-9", 100_000_000_000));
    for _ in 0..3 {
        assert_eq!(chain.resolve().await.unwrap().unwrap().secret.expose(), "access-9");
    }
    assert_eq!(service.forms.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_renewal_that_could_not_be_kept_is_not_asked_for() {
    let (oauth, service) = start(vec![]).await;
    let lookup = Lookup::from_fns(|_| Some(kept("access-1", 1_000)), |_, _| Err(locked()));
    let spec = Credential { oauth: Some(oauth), ..credential() };
    let environment = Environment::empty();
    let sources = Sources { elsewhere: Vec::new(), file: None, environment, keyring: Some(lookup) };
    let chain = Chain::new("example", &spec, sources);
    assert_eq!(chain.resolve().await.unwrap().unwrap().secret.expose(), "access-1");
    assert_eq!(service.forms.lock().unwrap().len(), 0, "the refresh token is still good");
}

fn locked() -> KeyringError {
    KeyringError::Failed("it is locked".to_owned())
}

fn tokens() -> Value {
    json!({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600})
}

#[tokio::test]
async fn a_store_that_does_not_work_is_found_out_before_the_service_is_asked_for_anything() {
    let (oauth, service) = start(vec![(200, tokens())]).await;
    for works in [0, 1] {
        // The first call keeps, the second removes.
        let left = Mutex::new(works);
        let store = Lookup::from_fns(
            |_| None,
            move |_, _| {
                let mut left = left.lock().unwrap();
                *left -= 1;
                if *left < 0 { Err(locked()) } else { Ok(()) }
            },
        );
        let mut shown = false;
        let patience = patience();
        // Without a store there is nothing to log in with.
        let error = match tried(store).await {
            Ok(store) => {
                let login = device(&oauth, None, &patience, |_| shown = true);
                store.secret(None, login).await.map(|_| ()).unwrap_err()
            }
            Err(error) => error,
        };
        assert!(matches!(error, NotKept::NoStore(_)), "{error}");
        assert!(!shown, "no code was asked for");
    }
    assert_eq!(service.forms.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_login_is_kept_and_one_that_was_lost_after_all_is_told_of() {
    for lost in [false, true] {
        let (oauth, _) = start(vec![(200, tokens())]).await;
        let held: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let write = held.clone();
        let store = Lookup::from_fns(
            |_| None,
            move |entry, secret| {
                let mut held = write.lock().unwrap();
                match secret {
                    Some(_) if lost && entry == "example/token" => return Err(locked()),
                    Some(secret) => held.insert(entry.to_owned(), secret.expose().to_owned()),
                    None => held.remove(entry),
                };
                Ok(())
            },
        );
        let patience = patience();
        let login = device(&oauth, None, &patience, |_| {});
        let store = tried(store).await.unwrap();
        let secret = store.secret(Some("client-1"), login).await.unwrap_or_else(|e| panic!("{e}"));
        let kept = store.keep("example/token", secret).await;
        let held = held.lock().unwrap();
        match lost {
            false => {
                kept.unwrap();
                assert_eq!(held.keys().collect::<Vec<_>>(), ["example/token"], "the trial is gone");
                assert!(held["example/token"].contains("refresh-1"));
            }
            true => {
                let error = kept.unwrap_err();
                assert!(matches!(error, NotKept::Lost(_)), "{error}");
                let told = "it was not kept: the system keyring";
                assert!(error.to_string().starts_with(told), "{error}");
                assert!(!error.to_string().contains("access-1"), "{error}");
                assert!(held.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_login_is_not_made_in_the_local_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (good, service) = start(vec![]).await;
    let token = Secret::new("refresh-1".to_owned());
    for host in
        ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254"]
    {
        let url = format!("https://{host}:{port}/token");
        let elsewhere = OAuth { token_url: url.clone(), ..good.clone() };
        let error = message(refresh(&elsewhere, None, &token, &patience()).await);
        assert!(error.contains("where no login is made"), "{host}: {error}");
        // A name is found out at the first question, not when the code has expired.
        let error = message(device(&elsewhere, None, &patience(), |_| {}).await);
        assert!(error.contains("where no login is made"), "{host}: {error}");
        let elsewhere = OAuth { device_url: Some(url), ..good.clone() };
        let error = message(device(&elsewhere, None, &patience(), |_| {}).await);
        assert!(error.contains("where no login is made"), "{host}: {error}");
    }
    assert!(listener.accept().is_err(), "no connection was made");
    assert_eq!(service.forms.lock().unwrap().len(), 0);
}
