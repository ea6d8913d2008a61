//! Requests that are signed (AWS Signature Version 4), with botocore to say what is right.

use super::server::{Server, answer};
use super::*;
use omnifs_support::{python, skip};
use std::process::Command;

const BOTOCORE: &str = "1.44.8";
const KEY_ID: &str = "AKIDEXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "session-token-0123456789abcdef==";

/// URL, service, region, key id, secret, token, date and body: the value of `authorization`.
const SCRIPT: &str = r#"
import sys
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
url, service, region, key_id, secret, token, date, method, body = sys.argv[1:]
sign = S3SigV4Auth if service == "s3" else SigV4Auth
sign = sign(Credentials(key_id, secret, token or None), service, region)
request = AWSRequest(method=method, url=url, data=body.encode())
request.context["timestamp"] = date
sign._modify_request_before_signing(request)
for name in list(request.headers):
    assert name.lower().startswith("x-amz-") or name.lower() == "authorization", name
text = sign.string_to_sign(request, sign.canonical_request(request))
sign._inject_signature_to_request(request, sign.signature(text, request))
print(request.headers["Authorization"])
"#;

fn signing(url: &str, service: &str, region: Option<&str>, variables: &[(&str, &str)]) -> Setup {
    let mut setup = setup(url);
    let credential = &mut setup.manifest.credentials[0];
    credential.scheme =
        Scheme::AwsSigv4 { service: service.to_owned(), region: Some("region".to_owned()) };
    credential.environment = ["AWS_ID", "AWS_SECRET", "AWS_TOKEN"].map(str::to_owned).to_vec();
    credential.environment_elsewhere = ["ID", "SECRET", "TOKEN"].map(str::to_owned).to_vec();
    setup.environment = environment(variables);
    setup.settings.extend(region.map(|region| ("region".to_owned(), region.to_owned())));
    setup
}

fn line<'a>(request: &'a str, header: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")))
}

#[tokio::test]
async fn a_request_is_signed_as_a_client_of_others_signs_it() {
    let python = match python::with_package("botocore", BOTOCORE) {
        Ok(python) => python,
        Err(reason) => return skip("signatures", &reason),
    };
    let server = Server::start(|_, _| answer(200, "", "ok")).await;
    let whole = [("ID", KEY_ID), ("SECRET", KEY), ("TOKEN", TOKEN)];
    let paths = [
        "/things/a",
        "/things/a%20b%2Bc/caf%C3%A9/~-._/%281%29%27%2A",
        "/things/a%3Ab%40c%25d",
        "/things/?list-type=2&prefix=a%2Fb%20%2B&delimiter=%2F&a=",
        "/things/x?versions=&b=2&a=2&a=1",
        "/graphql",
    ];
    for (service, region) in [("s3", None), ("s3", Some("eu-west-1")), ("execute-api", None)] {
        for variables in [&whole[..], &whole[..2]] {
            let outbound = Outbound::new(signing(&server.url(), service, region, variables));
            let outbound = outbound.unwrap();
            for path in paths {
                let (request, method, body) = match path {
                    "/graphql" => (post("{}"), "POST", "{}"),
                    path => (get(path), "GET", ""),
                };
                fetch(&outbound, request).await.unwrap();
                let seen = server.seen.requests().pop().unwrap();
                let token = variables.get(2).map_or("", |(_, token)| token);
                assert_eq!(line(&seen, "x-amz-security-token").unwrap_or_default(), token);
                let date = line(&seen, "x-amz-date").unwrap();
                let url = format!("{}{path}", server.url());
                let region = region.unwrap_or("us-east-1");
                let mut command = Command::new(&python);
                command.args(["-c", SCRIPT, &url, service, region, KEY_ID, KEY, token, date]);
                let output = command.args([method, body]).output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{errors}");
                let expected = String::from_utf8_lossy(&output.stdout);
                assert_eq!(line(&seen, "authorization"), Some(expected.trim()), "{seen}");
                assert!(!seen.contains(KEY), "{seen}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_within_the_service_is_signed_anew_and_one_elsewhere_is_not_signed() {
    let logs = Server::start(|_, _| answer(200, "", "log")).await;
    let away = logs.url();
    let server = Server::start(move |_, request| {
        if request.starts_with("GET /things/away") {
            answer(302, &format!("Location: {away}/x\r\n"), "")
        } else if request.starts_with("GET /things/moved") {
            answer(307, "Location: /things/here\r\n", "")
        } else {
            answer(200, "", "ok")
        }
    })
    .await;
    let variables = [("ID", KEY_ID), ("SECRET", KEY), ("TOKEN", TOKEN)];
    let mut setup = signing(&server.url(), "s3", None, &variables);
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(logs.url());
    let outbound = Outbound::new(setup).unwrap();
    fetch(&outbound, get("/things/moved")).await.unwrap();
    fetch(&outbound, get("/things/away")).await.unwrap();
    let seen = server.seen.requests();
    let signature = |request: &str| line(request, "authorization").unwrap().to_owned();
    assert!(seen[1].starts_with("GET /things/here"), "{}", seen[1]);
    assert_ne!(signature(&seen[0]), signature(&seen[1]));
    let seen = logs.seen.requests().remove(0);
    for header in ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
        assert_eq!(line(&seen, header), None, "{seen}");
    }
}

#[tokio::test]
async fn the_variables_of_the_service_sign_nothing_for_another_place() {
    let server = Server::start(|_, _| answer(200, "", "ok")).await;
    for (variables, signs) in [
        (&[("AWS_ID", KEY_ID), ("AWS_SECRET", KEY)][..], false),
        (&[("ID", KEY_ID), ("AWS_SECRET", KEY)], false),
        (&[("ID", KEY_ID), ("SECRET", KEY)], true),
    ] {
        let outbound = Outbound::new(signing(&server.url(), "s3", None, variables)).unwrap();
        fetch(&outbound, get("/things/a")).await.unwrap();
        let seen = server.seen.requests().pop().unwrap();
        assert_eq!(line(&seen, "authorization").is_some(), signs, "{seen}");
    }
    // A region of the same service is no other place.
    let mut setup = signing("https://s3.eu-west-1.example.test", "s3", None, &[]);
    setup.manifest.endpoints[0].default_url = "https://s3.us-east-1.example.test".to_owned();
    setup.environment = environment(&[("AWS_ID", KEY_ID), ("AWS_SECRET", KEY)]);
    let chain = Outbound::new(setup).unwrap();
    let chain = chain.credential("token").unwrap();
    assert!(chain.elsewhere().is_empty());
    let found = chain.resolve().await.unwrap().expect("a secret");
    assert_eq!(found.secret.expose(), format!("{KEY_ID}:{KEY}"));
}

#[tokio::test]
async fn an_answer_that_repeats_the_signing_secret_is_dropped_and_one_with_the_key_id_is_not() {
    let variables = [("ID", KEY_ID), ("SECRET", KEY), ("TOKEN", TOKEN)];
    for (echo, dropped) in [(KEY, true), (TOKEN, true), (KEY_ID, false)] {
        let server = Server::start(move |_, _| answer(200, "", echo)).await;
        let outbound = Outbound::new(signing(&server.url(), "s3", None, &variables)).unwrap();
        match dropped {
            false => drop(fetch(&outbound, get("/things/a")).await.unwrap()),
            true => assert_eq!(fails(&outbound, get("/things/a")).await.0, Cause::Invalid),
        }
    }
}
