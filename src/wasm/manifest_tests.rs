use super::*;
use crate::provider::{FeedKind, Method};
use crate::wasm::bindings::omnifs::provider::types;

fn good() -> raw::Description {
    raw::Description {
        identity: raw::Identity {
            name: "docker".into(),
            version: "1.2.3-rc.1+build".into(),
            summary: "Containers of a Docker engine".into(),
        },
        root: "root".into(),
        config: vec![raw::ConfigKey {
            name: "bound".into(),
            description: "Entries in a listing".into(),
            default_value: Some("1000".into()),
        }],
        endpoints: vec![raw::Endpoint {
            name: "engine".into(),
            default_url: "unix:///var/run/docker.sock".into(),
            windows_url: Some("npipe:////./pipe/docker_engine".into()),
            url_environment: Some("DOCKER_HOST".into()),
            allow: vec![
                raw::Rule { method: types::Method::Get, path: "/containers/*/json".into() },
                raw::Rule { method: types::Method::Get, path: "/v1/**".into() },
            ],
            credentials: vec!["token".into()],
            redirect_hosts: vec!["objects.example.com".into()],
            limits: Some(raw::Limits {
                windows: vec![raw::Window {
                    name: raw::WindowName::Header("x-ratelimit-resource".into()),
                    limit: "x-ratelimit-limit".into(),
                    remaining: "x-ratelimit-remaining".into(),
                    reset: "x-ratelimit-reset".into(),
                    reset_unit: raw::ResetUnit::EpochSeconds,
                    cost: None,
                    fixed: true,
                }],
                throttled: vec!["slow down".into()],
                slow_down: vec!["slow down".into()],
            }),
            purpose: "Reads containers".into(),
            nearby: Some(raw::Nearby {
                contexts: Some(raw::Contexts {
                    files: vec!["~/.docker/contexts/meta/*/meta.json".into()],
                    name: "/Name".into(),
                    address: "/Endpoints/docker/Host".into(),
                    chosen_environment: Some("DOCKER_CONTEXT".into()),
                    chosen_files: vec!["$DOCKER_CONFIG/config.json".into()],
                    chosen: "/currentContext".into(),
                }),
                sockets: vec!["unix://$XDG_RUNTIME_DIR/docker.sock".into()],
            }),
            bodies: Some(raw::Bodies { member: "method".into(), values: vec!["list".into()] }),
            session: Some(raw::Session {
                header: "x-session-id".into(),
                begun_by: "list".into(),
                confirmed_by: "list".into(),
            }),
        }],
        credentials: vec![raw::Credential {
            name: "token".into(),
            scheme: raw::Scheme::Bearer,
            environment_elsewhere: Vec::new(),
            environment: vec!["DOCKER_TOKEN".into()],
            raw_prefixes: vec!["lin_api_".into()],
            oauth: Some(raw::Oauth {
                authorize_url: "https://example.com/authorize".into(),
                device_url: None,
                token_url: "https://example.com/token".into(),
                client_id: None,
                scopes: vec!["read".into()],
                elsewhere: true,
            }),
            help_url: "https://example.com/tokens?new=1".into(),
            whose: Some(raw::Probe {
                endpoint: "engine".into(),
                method: types::Method::Get,
                path: "/v1/me".into(),
                body: None,
                name: "/login".into(),
            }),
            scopes: Some(raw::Scopes {
                header: "x-oauth-scopes".into(),
                needed: vec![raw::Scope {
                    name: "read:org".into(),
                    held_by: vec!["admin:org".into()],
                    purpose: "organisations".into(),
                }],
            }),
            logins: vec![raw::OtherLogin {
                program: "ex".into(),
                arguments: vec!["token".into(), "{host}".into()],
                files: vec!["~/.config/ex/hosts.yml".into()],
                secret: "/token".into(),
                user: "/user".into(),
                own_host: "example.com".into(),
                other_hosts: vec![raw::OtherHost {
                    ends_with: ".example.org".into(),
                    endpoint: "engine".into(),
                    url: "https://api.{host}/v3".into(),
                }],
            }],
        }],
        feeds: vec![
            raw::Feed {
                name: "events".into(),
                kind: raw::FeedKind::Push,
                scopes: "".into(),
                endpoint: Some("engine".into()),
                silence: Some(60),
                signature: None,
            },
            raw::Feed {
                name: "hook".into(),
                kind: raw::FeedKind::Webhook,
                scopes: "".into(),
                endpoint: None,
                silence: None,
                signature: Some(signature()),
            },
        ],
        guide: vec![raw::PathDoc {
            pattern: "containers/{by-name,by-id}/{name}/**".into(),
            summary: "A container".into(),
            entries: vec!["state".into(), "labels/".into()],
            example: "containers/by-name/api/".into(),
            requests: 1,
            page: Some(100),
            each_open: false,
            search: raw::Search::Enter,
        }],
    }
}

fn signature() -> raw::Signature {
    raw::Signature {
        header: "x-signature".into(),
        algorithm: raw::Algorithm::HmacSha256,
        encoding: raw::Encoding::Hex,
        prefix: "v0=".into(),
        separator: None,
        signed: vec![
            raw::Part::Literal("v0:".into()),
            raw::Part::Timestamp,
            raw::Part::Literal(":".into()),
            raw::Part::Body,
        ],
        secret: raw::SecretForm::Text,
        timestamp: Some(raw::Timestamp {
            at: raw::TimestampPlace::Header("x-time".into()),
            unit: raw::TimestampUnit::Seconds,
        }),
        handshake: None,
        content_types: vec!["application/json".into()],
        pass: vec!["x-event-*".into()],
    }
}

#[test]
fn a_good_manifest_is_taken_as_it_is() {
    let manifest = manifest(good()).unwrap();
    assert_eq!(manifest.name, "docker");
    assert_eq!(manifest.endpoints[0].allow[0], (Method::Get, "/containers/*/json".into()));
    assert_eq!(manifest.credentials[0].oauth.as_ref().unwrap().scopes, ["read"]);
    assert_eq!(manifest.feeds[1].kind, FeedKind::Webhook);
}

fn why(change: impl FnOnce(&mut raw::Description)) -> String {
    let mut raw = good();
    change(&mut raw);
    let fault = manifest(raw).expect_err("accepted");
    assert_eq!(fault.cause, Cause::Invalid);
    assert!(!fault.detail.contains('\n'), "{}", fault.detail);
    fault.detail
}

#[test]
fn a_name_is_plain() {
    for bad in ["", "Docker", "a b", "../x", "-a", "a/b", "é", &"x".repeat(65)] {
        assert!(why(|raw| raw.identity.name = bad.into()).contains("is no provider name"), "{bad}");
        assert!(why(|raw| raw.endpoints[0].name = bad.into()).contains("is no endpoint name"));
        assert!(why(|raw| raw.config[0].name = bad.into()).contains("is no config key name"));
    }
}

#[test]
fn a_version_is_semantic() {
    for bad in ["", "1", "1.2", "1.2.x", "1.2.3.4", "v1.2.3", "1.2.3 beta", "1..3"] {
        assert!(why(|raw| raw.identity.version = bad.into()).contains("is no version"), "{bad}");
    }
}

#[test]
fn text_for_the_user_is_one_line_without_escapes() {
    assert!(why(|raw| raw.identity.summary = "a\nb".into()).contains("summary"));
    assert!(why(|raw| raw.endpoints[0].purpose = "\u{1b}[2J".into()).contains("purpose"));
    assert!(why(|raw| raw.identity.summary = "x".repeat(1025)).contains("summary"));
    for hidden in ["\u{202e}", "\u{2028}", "\u{200b}", "\u{2066}", "\u{e0041}", "\u{feff}"] {
        let text = format!("read{hidden}s items");
        assert!(why(|raw| raw.identity.summary = text.clone()).contains("summary"));
        assert!(why(|raw| raw.endpoints[0].purpose = text.clone()).contains("purpose"));
    }
}

#[test]
fn an_endpoint_is_https_a_socket_or_this_machine() {
    for good_url in [
        "https://api.github.com",
        "https://host:8443/prefix",
        "http://127.0.0.1:8080",
        "http://[::1]/",
        "http://localhost",
        "unix:///run/docker.sock",
        "npipe:////./pipe/docker_engine",
    ] {
        let mut raw = good();
        raw.endpoints[0].default_url = good_url.into();
        assert!(manifest(raw).is_ok(), "{good_url}");
    }
    for (bad, reason) in [
        ("", "it is not a URL"),
        ("api.github.com", "it is not a URL"),
        ("http://example.com", "plain http is spoken to loopback only"),
        ("http://localhost.example.com", "plain http is spoken to loopback only"),
        ("http://user@localhost", "user name or password"),
        ("tcp://127.0.0.1:2375", "it is not encrypted"),
        ("https://10.0.0.1", "10.0.0.1"),
        ("npipe:////server/pipe/x", "npipe"),
        ("ftp://example.com", "it must begin with"),
        ("file:///etc/passwd", "it must begin with"),
        ("https://user:pw@example.com", "user name or password"),
        ("https://example.com/#x", "no fragment"),
        ("https://example.com/?q=1", "no query"),
        ("unix://relative", "absolute"),
        ("unix://", "absolute"),
        ("unix:///a\nb", "nobody can see"),
        ("unix:///a\u{202e}b", "nobody can see"),
        ("https://g\u{456}thub.com", "in ASCII"),
    ] {
        let detail = why(|raw| raw.endpoints[0].default_url = bad.into());
        assert!(detail.contains(reason), "{bad}: {detail}");
    }
}

#[test]
fn a_path_pattern_is_of_whole_segments() {
    for (bad, reason) in [
        ("containers", "does not begin"),
        ("/a/**/b", "only at the end"),
        ("/a*/b", "a whole segment"),
        ("/a%2F*/b", "a whole segment"),
        ("/a/../b", "match nothing"),
        ("/a?b=1", "without a query"),
        ("/a b", "without a query"),
        ("/a\\b", "without a query"),
    ] {
        let detail = why(|raw| raw.endpoints[0].allow[0].path = bad.into());
        assert!(detail.contains(reason), "{bad}: {detail}");
    }
}

#[test]
fn a_path_pattern_says_where_escaped_slashes_may_be() {
    let mut raw = good();
    raw.endpoints[0].allow[0].path = "/branches/*%2F*/protection".into();
    assert!(manifest(raw).is_ok());
}

#[test]
fn every_reference_leads_to_something_declared() {
    let detail = why(|raw| raw.endpoints[0].credentials = vec!["other".into()]);
    assert!(detail.contains("the credential `other`, which is not declared"), "{detail}");
    let detail = why(|raw| raw.feeds[0].endpoint = Some("other".into()));
    assert!(detail.contains("the endpoint `other`, which is not declared"), "{detail}");
    assert!(why(|raw| raw.feeds[0].endpoint = None).contains("needs an endpoint"));
}

#[test]
fn nothing_is_declared_twice_or_without_end() {
    assert!(why(|raw| raw.endpoints.push(raw.endpoints[0].clone())).contains("`engine` twice"));
    assert!(why(|raw| raw.feeds.push(raw.feeds[0].clone())).contains("`events` twice"));
    assert!(why(|raw| raw.config.push(raw.config[0].clone())).contains("`bound` twice"));
    let detail = why(|raw| {
        raw.config = (0..65)
            .map(|n| raw::ConfigKey { name: format!("k{n}"), ..raw.config[0].clone() })
            .collect()
    });
    assert!(detail.contains("65 config keys"), "{detail}");
}

#[test]
fn hosts_and_variables_have_their_form() {
    for host in ["example.com", "example.com:8080", "example.com:443", "*.blob.example.net"] {
        let mut raw = good();
        raw.endpoints[0].redirect_hosts = vec![host.into()];
        assert!(manifest(raw).is_ok(), "{host}");
    }
    for bad in [
        "",
        "*",
        "*.com",
        "a.*.com",
        "Example.com",
        "a/b",
        "host:0",
        "host:x",
        "a b",
        "127.0.0.1:1",
        "10.0.0.1",
        "0x7f.1",
        "u@host.com",
        "host.com?a",
    ] {
        let detail = why(|raw| raw.endpoints[0].redirect_hosts = vec![bad.into()]);
        assert!(detail.contains("is no host"), "{bad}: {detail}");
    }
    for bad in ["", "lower", "1A", "A-B", "A=B"] {
        let detail = why(|raw| raw.credentials[0].environment = vec![bad.into()]);
        assert!(detail.contains("is no environment variable"), "{bad}: {detail}");
    }
    // What is shown and resolved as an address.
    for secret in
        ["DOCKER_TOKEN", "GITHUB_TOKEN", "LINEAR_API_KEY", "AWS_SECRET_ACCESS_KEY", "OTHER"]
    {
        let detail = why(|raw| {
            raw.credentials[0].environment_elsewhere = vec!["OTHER".into()];
            raw.endpoints[0].url_environment = Some(secret.into());
        });
        assert!(detail.contains("is for a secret"), "{secret}: {detail}");
    }
    // A secret of the host's own, and one that would be for the service alone and for anybody.
    let webhook = "OMNIFS_WEBHOOK_SECRET_GITHUB".to_owned();
    for change in [
        (|raw, name| raw.credentials[0].environment = vec![name])
            as fn(&mut raw::Description, String),
        |raw, name| raw.credentials[0].environment_elsewhere = vec![name],
        |raw, name| raw.endpoints[0].url_environment = Some(name),
    ] {
        let detail = why(|raw| change(raw, webhook.clone()));
        assert!(detail.contains("is the host's own"), "{detail}");
    }
    let detail = why(|raw| {
        raw.credentials[0].environment = vec!["A_TOKEN".into(), "B_TOKEN".into()];
        raw.credentials[0].environment_elsewhere = vec!["B_TOKEN".into()];
    });
    assert!(detail.contains("`B_TOKEN` is for the service itself or for other places"), "{detail}");
}

#[test]
fn a_component_declares_what_it_imports_and_exports_what_it_declares() {
    assert!(check(good(), true, true).is_ok());
    let undeclared =
        raw::Description { endpoints: vec![], credentials: vec![], feeds: vec![], ..good() };
    let fault = check(undeclared.clone(), true, true).unwrap_err();
    assert!(fault.detail.contains("declares no endpoint"), "{}", fault.detail);
    assert!(check(undeclared, false, false).is_ok());
    let fault = check(good(), true, false).unwrap_err();
    assert!(fault.detail.contains("does not export omnifs:provider/events"), "{}", fault.detail);
}

#[test]
fn a_delivery_says_how_it_is_signed() {
    assert!(why(|raw| raw.feeds[1].signature = None).contains("how deliveries are signed"));
    assert!(why(|raw| raw.feeds[0].signature = Some(signature())).contains("no deliveries"));
    let changed = |change: fn(&mut raw::Signature)| {
        why(|raw| change(raw.feeds[1].signature.as_mut().expect("good")))
    };
    assert!(changed(|s| s.header = "X-Signature".into()).contains("lower case"));
    assert!(changed(|s| s.signed = vec![raw::Part::Timestamp]).contains("covers the body"));
    assert!(changed(|s| s.algorithm = raw::Algorithm::Plain).contains("covers nothing"));
    assert!(changed(|s| s.timestamp = None).contains("names no header"));
    assert!(changed(|s| s.pass = vec!["*x".into()]).contains("header's name"));
    let body = |s: &mut raw::Signature| {
        s.signed = vec![raw::Part::Body];
        s.timestamp.as_mut().expect("good").at = raw::TimestampPlace::Body("time".into());
    };
    assert!(changed(body).contains("no JSON pointer"));
    let covered = |s: &mut raw::Signature| {
        s.timestamp.as_mut().expect("good").at = raw::TimestampPlace::Body("/time".into());
    };
    assert!(changed(covered).contains("names no header"));
}

#[test]
fn the_time_of_a_delivery_is_one_that_the_signature_covers() {
    use raw::{Part, TimestampPlace};
    let of = |signed: &[Part], at: TimestampPlace, algorithm| {
        let mut raw = good();
        let signature = raw.feeds[1].signature.as_mut().expect("good");
        signature.signed = signed.to_vec();
        signature.algorithm = algorithm;
        signature.timestamp.as_mut().expect("good").at = at;
        manifest(raw).map(|_| ()).map_err(|fault| fault.detail)
    };
    let header = || TimestampPlace::Header("x-time".into());
    let element = || TimestampPlace::Element("t".into());
    let body = || TimestampPlace::Body("/time".into());
    let hmac = raw::Algorithm::HmacSha256;
    for (signed, at) in [
        (&[Part::Timestamp, Part::Body][..], header()),
        (&[Part::Header("x-time".into()), Part::Body], header()),
        (&[Part::Timestamp, Part::Body], element()),
        (&[Part::Body], body()),
    ] {
        assert_eq!(of(signed, at, hmac), Ok(()), "{signed:?}");
    }
    // Whoever repeats such a delivery says any time.
    for (signed, at, algorithm) in [
        (&[Part::Body][..], header(), hmac),
        (&[Part::Header("x-other".into()), Part::Body], header(), hmac),
        (&[Part::Body], element(), hmac),
        (&[], header(), raw::Algorithm::Plain),
        (&[], element(), raw::Algorithm::Plain),
        (&[], body(), raw::Algorithm::Plain),
    ] {
        let why = of(signed, at, algorithm).expect_err("nothing signs the time");
        assert!(why.contains("proves nothing"), "{signed:?}: {why}");
    }
}

/// The keyring has both as `INSTANCE/NAME`.
#[test]
fn no_credential_is_named_as_the_secret_of_deliveries_is() {
    let named = |raw: &mut raw::Description| {
        raw.credentials[0].name = "webhook".into();
        raw.endpoints[0].credentials = vec!["webhook".into()];
    };
    assert!(why(named).contains("no credential is named webhook"));
}

#[test]
fn an_instance_has_one_address_and_a_poll_no_silence() {
    let second = |raw: &mut raw::Description| {
        let feed = raw::Feed { name: "other".into(), ..raw.feeds[1].clone() };
        raw.feeds.push(feed);
    };
    assert!(why(second).contains("two webhook feeds"));
    assert!(why(|raw| raw.feeds[1].silence = Some(0)).contains("cannot be silent"));
    let poll = |raw: &mut raw::Description| raw.feeds[0].kind = raw::FeedKind::Poll;
    assert!(why(poll).contains("cannot be silent"));
    let mut raw = good();
    raw.feeds[1].silence = Some(3600);
    assert!(manifest(raw).is_ok());
}

#[test]
fn what_is_looked_for_on_a_users_machine_has_its_form() {
    for path in ["etc/passwd", "~root/x", "$/x", "$OMNIFS_CONFIG/x", "~/../x", "/a//b", "~"] {
        let socket = |raw: &mut raw::Description| {
            raw.endpoints[0].nearby.as_mut().expect("good").sockets =
                vec![format!("unix://{path}")];
        };
        assert!(why(socket).contains("no path of a user's file"), "{path}");
        let file = |raw: &mut raw::Description| {
            raw.credentials[0].logins[0].files = vec![path.to_owned()];
        };
        assert!(why(file).contains("no path of a user's file"), "{path}");
    }
    let login =
        |change: fn(&mut raw::OtherLogin)| why(|raw| change(&mut raw.credentials[0].logins[0]));
    assert!(login(|l| l.program = "/bin/sh".into()).contains("no program name"));
    assert!(login(|l| l.arguments = vec!["a\u{202e}b".into()]).contains("not one line"));
    assert!(login(|l| l.other_hosts[0].url = "http://{host}".into()).contains("use https"));
    assert!(login(|l| l.other_hosts[0].endpoint = "other".into()).contains("not declared"));
    let scopes = |change: fn(&mut raw::Scopes)| {
        why(|raw| change(raw.credentials[0].scopes.as_mut().expect("good")))
    };
    assert!(scopes(|s| s.header = "X-Scopes".into()).contains("lower case"));
    assert!(scopes(|s| s.needed[0].held_by = vec!["a, b".into()]).contains("is no scope"));
}

#[test]
fn a_refusal_is_told_by_words_in_lower_case() {
    let changed = |change: fn(&mut raw::Limits)| {
        why(|raw| change(raw.endpoints[0].limits.as_mut().expect("good")))
    };
    assert!(changed(|l| l.throttled.push("Too Many".into())).contains("lower case"));
    assert!(changed(|l| l.throttled.push(String::new())).contains("lower case"));
    assert!(changed(|l| l.slow_down.push("other".into())).contains("no text of a refusal"));
    assert!(changed(|l| l.windows[0].limit = "X-Limit".into()).contains("lower case"));
}

#[test]
fn two_credentials_do_not_travel_in_one_header() {
    let two = |scheme: raw::Scheme| {
        move |raw: &mut raw::Description| {
            let second = raw::Credential {
                name: "second".into(),
                scheme,
                whose: None,
                ..raw.credentials[0].clone()
            };
            raw.credentials.push(second);
            raw.endpoints[0].credentials.push("second".into());
        }
    };
    assert!(why(two(raw::Scheme::Basic(None))).contains("two credentials in the header"));
    let mut raw = good();
    two(raw::Scheme::Header("x-api-key".into()))(&mut raw);
    assert_eq!(manifest(raw).unwrap().endpoints[0].credentials, ["token", "second"]);
    for name in ["host", "x-original-url", "x_http_method_override", "if-match", "x-forwarded-for"]
    {
        let detail = why(two(raw::Scheme::Header(name.into())));
        assert!(detail.contains("no credential travels"), "{name}: {detail}");
    }
}

#[test]
fn a_signature_is_for_a_service_by_the_parts_of_one_secret() {
    let signing = |raw: &mut raw::Description, service: &str, region: Option<&str>| {
        let (service, region) = (service.to_owned(), region.map(str::to_owned));
        raw.credentials[0].scheme = raw::Scheme::AwsSigv4(raw::AwsSigv4 { service, region });
        raw.credentials[0].environment = vec!["A_ID".into(), "A_SECRET".into()];
    };
    let setting = good().config[0].name.clone();
    let mut raw = good();
    signing(&mut raw, "s3", Some(&setting));
    assert_eq!(manifest(raw).unwrap().credentials[0].scheme.header(), "authorization");
    for service in ["", "S3", "a/b", "a b"] {
        let detail = why(|raw| signing(raw, service, None));
        assert!(detail.contains("no service's name"), "{service:?}: {detail}");
    }
    assert!(why(|raw| signing(raw, "s3", Some("other"))).contains("no setting"));
    for count in [1, 4] {
        let detail = why(|raw| {
            signing(raw, "s3", None);
            raw.credentials[0].environment = (0..count).map(|n| format!("A_{n}")).collect();
        });
        assert!(detail.contains("in two variables or in three"), "{count}: {detail}");
    }
}

#[test]
fn a_probe_is_sent_where_its_credential_goes() {
    let probe = |change: fn(&mut raw::Probe)| {
        why(|raw| change(raw.credentials[0].whose.as_mut().expect("good")))
    };
    assert!(probe(|p| p.endpoint = "other".into()).contains("does not use it"));
    assert!(probe(|p| p.name = "login".into()).contains("no JSON pointer"));
}

#[test]
fn a_session_is_named_in_a_header_of_its_own_and_begun_by_what_may_be_said() {
    for bad in ["authorization", "cookie", "x-forwarded-session-id", "X-Session-Id", "session", "x"]
    {
        why(|raw| raw.endpoints[0].session.as_mut().unwrap().header = bad.into());
    }
    for own in ["x-session-id", "x_session_id"] {
        let detail = why(|raw| raw.credentials[0].scheme = raw::Scheme::Header(own.into()));
        assert!(detail.contains("no session is named in the header x-session-id"), "{detail}");
    }
    let detail = why(|raw| raw.endpoints[0].session.as_mut().unwrap().begun_by = "call".into());
    assert!(detail.contains("a session begins by `call`, which no body may say"), "{detail}");
    let detail = why(|raw| raw.endpoints[0].session.as_mut().unwrap().confirmed_by = "x".into());
    assert!(detail.contains("`x`, which no body may say"), "{detail}");
    assert!(why(|raw| raw.endpoints[0].bodies = None).contains("which no body may say"));
    for bad in ["", "a b", "a\"", "m\u{e9}thode"] {
        let detail = why(|raw| raw.endpoints[0].bodies.as_mut().unwrap().member = bad.into());
        assert!(detail.contains("no name of a body's member"), "{detail}");
    }
    why(|raw| raw.endpoints[0].bodies.as_mut().unwrap().values.push("a\u{1b}".into()));
}
