//! How secrets travel: as a bearer token, with a user name, in headers of the service's own.

use super::server::{Reply, Server, answer};
use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const KEY: &str = "dd-0123456789abcdefSECRET-key";
const APPLICATION: &str = "dd-0123456789abcdefSECRET-app";

/// One credential with this scheme and secret, at `url`.
fn with_scheme(url: &str, scheme: Scheme, secret: &str) -> Setup {
    let mut setup = setup(url);
    setup.manifest.credentials[0].scheme = scheme;
    setup.environment = environment(&[("EXAMPLE_TOKEN_HERE", secret)]);
    setup
}

/// A service that wants two keys, of which the environment has these.
fn with_two(url: &str, variables: &[(&str, &str)]) -> Setup {
    let key = |name: &str, variable: &str, header: &str| Credential {
        name: name.to_owned(),
        scheme: Scheme::Header(header.to_owned()),
        environment_elsewhere: vec![variable.to_owned()],
        ..Credential::default()
    };
    let mut setup = setup(url);
    setup.environment = environment(variables);
    setup.manifest.credentials =
        vec![key("key", "DD_KEY", "dd-api-key"), key("app", "DD_APP", "dd-application-key")];
    setup.manifest.endpoints[0].credentials = vec!["key".to_owned(), "app".to_owned()];
    setup
}

fn line<'a>(request: &'a str, header: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")))
}

#[tokio::test]
async fn a_secret_travels_as_its_scheme_says() {
    let encoded = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let named = |name: &str| Scheme::Header(name.to_owned());
    for (scheme, secret, header, value) in [
        (Scheme::Bearer, KEY, "authorization", format!("Bearer {KEY}")),
        (Scheme::Bearer, "lin_api_x", "authorization", "lin_api_x".to_owned()),
        (Scheme::Basic(Some("me".to_owned())), KEY, "authorization", encoded(&format!("me:{KEY}"))),
        (Scheme::Basic(None), "me@x.example:a:b c", "authorization", encoded("me@x.example:a:b c")),
        (Scheme::Basic(None), "key-only:", "authorization", encoded("key-only:")),
        (named("x-api-key"), KEY, "x-api-key", KEY.to_owned()),
        (named("authorization"), "Token abc", "authorization", "Token abc".to_owned()),
        // A prefix is for bearer tokens.
        (named("private-token"), "lin_api_x", "private-token", "lin_api_x".to_owned()),
    ] {
        let server = Server::start(|_, _| answer(200, "", "ok")).await;
        let outbound = Outbound::new(with_scheme(&server.url(), scheme, secret)).unwrap();
        fetch(&outbound, get("/things/1")).await.unwrap();
        let seen = server.seen.requests().remove(0);
        assert_eq!(line(&seen, header), Some(&*value), "{seen}");
        assert!(seen.matches(secret).count() <= 1, "{seen}");
    }
}

#[tokio::test]
async fn a_secret_that_its_scheme_cannot_carry_is_refused_without_a_request_or_a_word_of_it() {
    let server = Server::start(|_, _| answer(200, "", "ok")).await;
    let setup = with_scheme(&server.url(), Scheme::Basic(None), "no-colon-0123456789");
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Denied);
    assert!(detail.contains("EXAMPLE_TOKEN_HERE must have the form USER:PASSWORD"), "{detail}");
    assert!(!detail.contains("no-colon"), "{detail}");
    assert_eq!(server.seen.count(), 0);
}

#[tokio::test]
async fn an_answer_that_repeats_a_secret_in_any_form_is_dropped() {
    let pair = format!("someone:{KEY}");
    for (scheme, secret, echo) in [
        (Scheme::Basic(None), pair.as_str(), STANDARD.encode(&pair)),
        (Scheme::Basic(None), &pair, KEY.to_owned()),
        (Scheme::Basic(Some("me".into())), KEY, STANDARD.encode(format!("me:{KEY}"))),
        (Scheme::Basic(None), &format!("{KEY}:"), KEY.to_owned()),
        (Scheme::Header("x-key".into()), KEY, KEY.to_owned()),
    ] {
        for in_header in [false, true] {
            let header = if in_header { format!("x-echo: <{echo}>\r\n") } else { String::new() };
            let body = if in_header { String::new() } else { format!("you sent {echo}.") };
            let server = Server::start(move |_, _| answer(200, &header, &body)).await;
            let setup = with_scheme(&server.url(), scheme.clone(), secret);
            let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
            assert_eq!(cause, Cause::Invalid, "{scheme:?} {echo}");
            assert!(detail.contains("repeats the credential"), "{detail}");
        }
    }
    // The user's name is no secret.
    let server = Server::start(|_, _| answer(200, "", "hello someone@x.example")).await;
    let secret = format!("someone@x.example:{KEY}");
    let setup = with_scheme(&server.url(), Scheme::Basic(None), &secret);
    fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
}

#[tokio::test]
async fn two_credentials_travel_together_and_stay_behind_together() {
    let logs = Server::start(|_, _| answer(200, "", "log")).await;
    let away = logs.url();
    let server = Server::start(move |_, request| {
        if request.starts_with("GET /things/away") {
            answer(302, &format!("Location: {away}/x\r\n"), "")
        } else {
            answer(200, "", "ok")
        }
    })
    .await;
    let mut setup = with_two(&server.url(), &[("DD_KEY", KEY), ("DD_APP", APPLICATION)]);
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(logs.url());
    let outbound = Outbound::new(setup).unwrap();
    fetch(&outbound, get("/things/1")).await.unwrap();
    fetch(&outbound, get("/things/away")).await.unwrap();
    for seen in server.seen.requests() {
        assert_eq!(line(&seen, "dd-api-key"), Some(KEY), "{seen}");
        assert_eq!(line(&seen, "dd-application-key"), Some(APPLICATION), "{seen}");
        assert_eq!(line(&seen, "authorization"), None, "{seen}");
    }
    let seen = logs.seen.requests().remove(0);
    assert!(!seen.contains("SECRET") && !seen.contains("dd-"), "{seen}");
}

#[tokio::test]
async fn with_one_of_two_the_request_goes_out_and_a_401_names_the_one_that_is_missing() {
    let reply = |_, request: &str| {
        let both =
            line(request, "dd-api-key").is_some() && line(request, "dd-application-key").is_some();
        // Half of this service is open to the first key alone.
        let open = request.starts_with("GET /things/open") || both;
        answer(if open { 200 } else { 401 }, "", "x")
    };
    let server = Server::start(reply).await;
    let outbound = Outbound::new(with_two(&server.url(), &[("DD_KEY", KEY)])).unwrap();
    fetch(&outbound, get("/things/open")).await.unwrap();
    let seen = server.seen.requests().remove(0);
    assert_eq!((line(&seen, "dd-api-key"), line(&seen, "dd-application-key")), (Some(KEY), None));
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Denied);
    assert_eq!(
        detail,
        format!(
            "{} answered 401: it wants credential \"app\" and none is configured; run `omnifs auth \
             login example --credential app` or set DD_APP or name a credential-file",
            server.url()
        )
    );
    // With both, a 401 cannot say which of them is wrong, and names both.
    let server = Server::start(|_, _| answer(401, "", "x")).await;
    let both = with_two(&server.url(), &[("DD_KEY", KEY), ("DD_APP", APPLICATION)]);
    let (_, detail) = fails(&Outbound::new(both).unwrap(), get("/things/1")).await;
    for part in ["credential \"key\" from environment variable DD_KEY", "variable DD_APP"] {
        assert!(detail.contains(part), "{detail}");
    }
}

#[tokio::test]
async fn a_guest_sends_no_header_that_a_credential_travels_in() {
    let server = Server::start(|_, _| answer(200, "", "ok")).await;
    // Also where the secret is missing, and in the spelling that some servers take for the same.
    for variables in [&[][..], &[("DD_KEY", KEY), ("DD_APP", APPLICATION)]] {
        let outbound = Outbound::new(with_two(&server.url(), variables)).unwrap();
        for name in ["DD-API-KEY", "dd-application-key", "dd_api_key", "Authorization"] {
            let headers = vec![(name.to_owned(), "guest".to_owned())];
            let (cause, detail) = fails(&outbound, Request { headers, ..get("/things/1") }).await;
            assert_eq!(cause, Cause::Denied, "{name}: {detail}");
        }
    }
    assert_eq!(server.seen.connections(), 0);
}

#[tokio::test]
async fn answers_kept_for_one_pair_of_secrets_are_not_those_of_another() {
    let tagged = |number: usize, request: &str| -> Reply {
        match line(request, "if-none-match") {
            Some(_) => answer(304, "", ""),
            None => answer(200, "ETag: \"a\"\r\n", format!("answer {number}")),
        }
    };
    let server = Server::start(tagged).await;
    let pairs: [&[(&str, &str)]; 4] = [
        &[("DD_KEY", KEY), ("DD_APP", APPLICATION)],
        &[("DD_KEY", KEY), ("DD_APP", "another-application")],
        &[("DD_KEY", KEY)],
        &[("DD_APP", KEY)],
    ];
    let validators = Arc::new(Validators::new(8 << 20));
    for (number, variables) in pairs.into_iter().enumerate() {
        let mut setup = with_two(&server.url(), variables);
        setup.validators = validators.clone();
        let response = fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
        assert_eq!(response.body, format!("answer {number}"), "{variables:?}");
    }
    let mut setup = with_two(&server.url(), pairs[0]);
    setup.validators = validators;
    let response = fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
    assert_eq!(&response.body[..], b"answer 0", "the same pair finds what it had");
}
