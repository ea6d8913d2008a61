use super::*;
use crate::provider::Timestamp;
use axum::http::{HeaderName, HeaderValue};

fn plain_body(header: &str) -> Signature {
    Signature {
        header: header.to_owned(),
        algorithm: Algorithm::HmacSha256,
        encoding: Encoding::Hex,
        prefix: String::new(),
        separator: None,
        signed: vec![Part::Body],
        secret: SecretForm::Text,
        timestamp: None,
        handshake: None,
        content_types: Vec::new(),
        pass: Vec::new(),
    }
}

fn timed(at: TimestampPlace) -> Option<Timestamp> {
    Some(Timestamp { at, unit: TimestampUnit::Seconds })
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn fits(signature: &Signature, secret: &str, pairs: &[(&str, &str)], body: &[u8]) -> bool {
    let claim = Claim::read(signature, &headers(pairs)).unwrap_or_else(|flaw| panic!("{flaw:?}"));
    claim.fits(signature, secret, body).unwrap()
}

#[test]
fn the_example_of_githubs_documentation_fits() {
    let signature = Signature { prefix: "sha256=".into(), ..plain_body("x-hub-signature-256") };
    let hex = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let sent = [("x-hub-signature-256", hex)];
    let secret = "It's a Secret to Everybody";
    assert!(fits(&signature, secret, &sent, b"Hello, World!"));
    assert!(!fits(&signature, secret, &sent, b"Hello, World?"));
    assert!(!fits(&signature, "It's a Secret to Nobody", &sent, b"Hello, World!"));
}

#[test]
fn the_example_of_slacks_documentation_fits() {
    let literal = |text: &str| Part::Literal(text.to_owned());
    let signature = Signature {
        prefix: "v0=".into(),
        signed: vec![literal("v0:"), Part::Timestamp, literal(":"), Part::Body],
        timestamp: timed(TimestampPlace::Header("x-slack-request-timestamp".into())),
        ..plain_body("x-slack-signature")
    };
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
        channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
        command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
        %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let hex = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let at = |time| [("x-slack-signature", hex), ("x-slack-request-timestamp", time)];
    assert!(fits(&signature, secret, &at("1531420618"), body));
    assert!(!fits(&signature, secret, &at("1531420619"), body));
    let claim = Claim::read(&signature, &headers(&at("1531420618"))).ok().unwrap();
    let made = UNIX_EPOCH + Duration::from_secs(1_531_420_618);
    assert_eq!(claim.made(&signature, body), Some(made));
}

#[test]
fn the_example_of_standard_webhooks_fits() {
    let signature = Signature {
        prefix: "v1,".into(),
        separator: Some(" ".into()),
        encoding: Encoding::Base64,
        signed: vec![
            Part::Header("webhook-id".into()),
            Part::Literal(".".into()),
            Part::Timestamp,
            Part::Literal(".".into()),
            Part::Body,
        ],
        secret: SecretForm::Base64("whsec_".into()),
        timestamp: timed(TimestampPlace::Header("webhook-timestamp".into())),
        ..plain_body("webhook-signature")
    };
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = br#"{"test": 2432232314}"#;
    let other = format!("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= {good} v1a,AAAA");
    let sent = |id, text| {
        [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", text)]
    };
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    assert!(fits(&signature, secret, &sent(id, good), body));
    assert!(fits(&signature, &secret[6..], &sent(id, good), body), "without the secret's prefix");
    assert!(fits(&signature, secret, &sent(id, &other), body), "one of several");
    assert!(!fits(&signature, secret, &sent("msg_other", good), body));
    let flaw = Claim::read(&signature, &headers(&sent(id, "v1a,AAAA v2,AAAA"))).err();
    assert_eq!(flaw, Some(Flaw::Form));
    let claim = Claim::read(&signature, &headers(&sent(id, good))).ok().unwrap();
    let why = claim.fits(&signature, "whsec_not base64", body).unwrap_err();
    assert!(why.contains("not base64") && !why.contains("whsec_not"), "{why}");
}

#[test]
fn the_vector_of_rfc_8032_fits() {
    let signature = Signature {
        algorithm: Algorithm::Ed25519,
        secret: SecretForm::Hex,
        ..plain_body("x-signature-ed25519")
    };
    let public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let hex = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
        18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let sent = [("x-signature-ed25519", hex)];
    assert!(fits(&signature, public, &sent, &[0xaf, 0x82]));
    assert!(!fits(&signature, public, &sent, &[0xaf, 0x83]));
    assert!(!fits(&signature, &public.replace("fc51", "fc52"), &sent, &[0xaf, 0x82]));
}

#[test]
fn a_token_is_compared_whole() {
    let signature =
        Signature { algorithm: Algorithm::Plain, signed: vec![], ..plain_body("x-gitlab-token") };
    let sent = |token| fits(&signature, "a-token-of-ours", &[("x-gitlab-token", token)], b"{}");
    assert!(sent("a-token-of-ours"));
    for wrong in ["", "a", "a-token-of-our", "a-token-of-ours2", "a-token-of-ourt"] {
        assert!(!sent(wrong), "{wrong}");
    }
}

#[test]
fn a_form_that_is_none_is_no_signature() {
    let signature = Signature { prefix: "sha256=".into(), ..plain_body("x-signature") };
    let read = |text: &str| Claim::read(&signature, &headers(&[("x-signature", text)])).err();
    for wrong in ["", "sha256", "00", "sha1=00", "sha256=0", "sha256=0g"] {
        assert_eq!(read(wrong), Some(Flaw::Form), "{wrong:?}");
    }
    assert_eq!(read("sha256=aF00"), None);
    assert_eq!(Claim::read(&signature, &HeaderMap::new()).err(), Some(Flaw::Missing));
    // What is of the form and of another length fits nothing.
    assert!(!fits(&signature, "secret", &[("x-signature", "sha256=aF00")], b"{}"));
    assert!(!fits(&signature, "secret", &[("x-signature", "sha256=")], b"{}"));
}

#[test]
fn no_more_than_some_signatures_of_one_header_are_tried() {
    let signature = Signature { separator: Some(",".into()), ..plain_body("x-signature") };
    let many = vec!["00"; 10_000].join(",");
    let claim = Claim::read(&signature, &headers(&[("x-signature", &many)])).ok().unwrap();
    assert_eq!(claim.offered.len(), TRIED);
}
