//! Deliveries to a provider that nobody has heard of, each as a known service sends its own. The signatures
//! were made by another implementation (Python's hmac, OpenSSL's Ed25519).

use super::webhook::{Scene, options, scene_of};
use super::*;
use omnifs::provider::{
    Algorithm, Encoding, Handshake, Part, SecretForm, Signature, Timestamp, TimestampPlace,
    TimestampUnit,
};

const BODY: &str = r#"{"changed":"issue-1"}"#;
const AT: &str = "1800000000";

pub fn signature(header: &str) -> Signature {
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

fn timestamp(at: TimestampPlace, unit: TimestampUnit) -> Option<Timestamp> {
    Some(Timestamp { at, unit })
}

fn literal(text: &str) -> Part {
    Part::Literal(text.to_owned())
}

/// A delivery as a service sends it, and what makes it another's.
struct Case {
    signature: Signature,
    secret: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    /// Put over the headers, each for itself.
    wrong: Vec<(&'static str, &'static str)>,
}

impl Case {
    async fn scene(&self) -> Scene {
        scene_of("zzz", self.signature.clone(), "repo:", Some(self.secret), options()).await
    }

    /// It takes effect, and nothing of another's does.
    async fn check(&self) -> Scene {
        let scene = self.scene().await;
        let post = async |headers: &[(&str, &str)], body: &str| {
            scene.post("/hook/zzz", headers, body.to_owned()).await
        };
        assert_eq!(post(&self.headers, self.body).await, 200);
        until("it took effect", || scene.ledger.changes().len() == 1).await;
        assert_eq!(scene.ledger.changes(), [Change::Invalidated("issue-1".into())]);
        let mut refused = 0;
        for (name, value) in &self.wrong {
            let mut headers = self.headers.clone();
            headers.retain(|(of, _)| of != name);
            headers.push((*name, *value));
            assert_eq!(post(&headers, self.body).await, 401, "{name}: {value}");
            headers.pop();
            assert_eq!(post(&headers, self.body).await, 401, "without {name}");
            refused += 2;
        }
        if self.signature.algorithm != Algorithm::Plain {
            let tampered = self.body.replace("issue-1", "issue-2");
            assert_eq!(post(&self.headers, &tampered).await, 401, "another body");
            refused += 1;
        }
        let row = scene.receiver.status().remove(0);
        assert_eq!((row.accepted, row.unsigned + row.bad_signature), (1, refused));
        assert_eq!((row.instance.as_str(), row.problem), ("zzz", None));
        assert_eq!(scene.script.delivered.lock().unwrap().len(), 1);
        scene
    }

    fn passed(scene: &Scene) -> Vec<String> {
        let delivered = scene.script.delivered.lock().unwrap();
        delivered[0].headers.iter().map(|(name, _)| name.clone()).collect()
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn zzz_gets_deliveries_as_github_signs_them() {
    let case = Case {
        signature: Signature {
            prefix: "sha256=".into(),
            pass: vec!["x-github-*".into()],
            ..signature("x-hub-signature-256")
        },
        secret: "It's a Secret to Everybody",
        headers: vec![
            JSON,
            ("x-github-event", "issues"),
            ("authorization", "Bearer of-a-proxy"),
            (
                "x-hub-signature-256",
                "sha256=72ab3759aeddf445c140b9f81b3839c73f8e5fecd6737e87b5f7f16a64c2da72",
            ),
        ],
        body: BODY,
        wrong: vec![
            ("x-hub-signature-256", "sha256="),
            (
                "x-hub-signature-256",
                "72ab3759aeddf445c140b9f81b3839c73f8e5fecd6737e87b5f7f16a64c2da72",
            ),
            (
                "x-hub-signature-256",
                "sha256=72ab3759aeddf445c140b9f81b3839c73f8e5fecd6737e87b5f7f16a64c2da73",
            ),
        ],
    };
    assert_eq!(Case::passed(&case.check().await), ["x-github-event"]);
}

#[tokio::test]
async fn zzz_gets_deliveries_as_linear_signs_them() {
    let case = Case {
        signature: Signature {
            timestamp: timestamp(
                TimestampPlace::Body("/webhookTimestamp".into()),
                TimestampUnit::Milliseconds,
            ),
            pass: vec!["linear-*".into()],
            ..signature("linear-signature")
        },
        secret: "lin_wh_0123456789",
        headers: vec![
            JSON,
            ("linear-event", "Issue"),
            (
                "linear-signature",
                "32eb520886f473323be3e58cb0a17c0d3bfeb0a11c1d5c94866e0989143ff6ed",
            ),
        ],
        body: r#"{"changed":"issue-1","webhookTimestamp":1800000000000}"#,
        wrong: vec![("linear-signature", "00")],
    };
    // The signature is nobody's business, whatever is passed on.
    assert_eq!(Case::passed(&case.check().await), ["linear-event"]);
}

const ASKING: &str = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
const CHALLENGE: [(&str, &str); 3] = [
    JSON,
    ("x-slack-request-timestamp", AT),
    ("x-slack-signature", "v0=dc35c3318508fa73c8e17f50f253fa3c866ac07be1f3442435dc174554208957"),
];

fn slack() -> Case {
    Case {
        signature: Signature {
            prefix: "v0=".into(),
            signed: vec![literal("v0:"), Part::Timestamp, literal(":"), Part::Body],
            timestamp: timestamp(
                TimestampPlace::Header("x-slack-request-timestamp".into()),
                TimestampUnit::Seconds,
            ),
            handshake: Some(Handshake::Delivery {
                at: "/type".into(),
                value: "url_verification".into(),
                answer: "/challenge".into(),
            }),
            content_types: vec![
                "application/json".into(),
                "application/x-www-form-urlencoded".into(),
            ],
            pass: vec!["content-type".into()],
            ..signature("x-slack-signature")
        },
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        headers: vec![
            JSON,
            ("x-slack-request-timestamp", AT),
            (
                "x-slack-signature",
                "v0=43e68654192b740f4826ac0bbad8e80215719b04a32d0a74952975dc37a53491",
            ),
        ],
        body: BODY,
        wrong: vec![("x-slack-request-timestamp", "1800000001"), ("x-slack-signature", "v0=00")],
    }
}

#[tokio::test]
async fn zzz_gets_deliveries_as_slack_signs_them_and_answers_its_challenge() {
    let scene = slack().check().await;
    assert_eq!(scene.ledger.ups(), 0, "the delivery named no scope");
    let (status, text) = scene.answer("/hook/zzz", &CHALLENGE, ASKING).await;
    assert_eq!(status, 200);
    assert_eq!(text, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
    let mut bad = CHALLENGE;
    bad[2].1 = "v0=dc35c3318508fa73c8e17f50f253fa3c866ac07be1f3442435dc174554208958";
    let (status, text) = scene.answer("/hook/zzz", &bad, ASKING).await;
    assert_eq!((status, text.contains("3eZb")), (401, false), "unsigned, nothing is answered");
    // It is the host's to answer; the provider hears nothing of it.
    assert_eq!(scene.script.delivered.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_challenge_that_is_signed_makes_the_only_scope_of_a_feed_live() {
    let slack = slack();
    let (secret, scopes) = (Some(slack.secret), "workspace");
    let scene = scene_of("zzz", slack.signature, scopes, secret, options()).await;
    assert_eq!(scene.post("/hook/zzz", &CHALLENGE, ASKING).await, 200);
    until("it is live", || scene.ledger.all().contains(&Told::Up("workspace".into()))).await;
    assert_eq!(scene.ledger.changes(), []);
}

#[tokio::test]
async fn zzz_gets_forms_where_its_manifest_says_so() {
    let slack = slack();
    let scene = slack.scene().await;
    let form = "command=%2Fweather&changed=issue-1";
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", AT),
        (
            "x-slack-signature",
            "v0=842d7b002437c824c058a61443b34f5d2c491ff000bc29903463112152c052bc",
        ),
    ];
    assert_eq!(scene.post("/hook/zzz", &headers, form).await, 200);
    until("it came", || scene.script.delivered.lock().unwrap().len() == 1).await;
    assert_eq!(&scene.script.delivered.lock().unwrap()[0].body[..], form.as_bytes());
    assert_eq!(Case::passed(&scene), ["content-type"]);
    let headers = [("content-type", "text/plain"), headers[1], headers[2]];
    assert_eq!(scene.post("/hook/zzz", &headers, form).await, 415);
}

#[tokio::test]
async fn zzz_gets_deliveries_as_stripe_signs_them() {
    let case = Case {
        signature: Signature {
            prefix: "v1=".into(),
            separator: Some(",".into()),
            signed: vec![Part::Timestamp, literal("."), Part::Body],
            timestamp: timestamp(TimestampPlace::Element("t".into()), TimestampUnit::Seconds),
            ..signature("stripe-signature")
        },
        secret: "whsec_0123456789abcdef",
        // While a secret is rolled over, there is one signature for each; the old scheme's is none.
        headers: vec![
            JSON,
            (
                "stripe-signature",
                "t=1800000000,\
                 v1=0000000000000000000000000000000000000000000000000000000000000000,\
                 v1=4873fb6a924380d4b3b1edf1519202cfc5633499b5e8d9667241fad1d3779c20,\
                 v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39",
            ),
        ],
        body: BODY,
        wrong: vec![
            (
                "stripe-signature",
                "t=1800000001,v1=4873fb6a924380d4b3b1edf1519202cfc5633499b5e8d9667241fad1d3779c20",
            ),
            (
                "stripe-signature",
                "v1=4873fb6a924380d4b3b1edf1519202cfc5633499b5e8d9667241fad1d3779c20",
            ),
            (
                "stripe-signature",
                "t=1800000000,v0=4873fb6a924380d4b3b1edf1519202cfc5633499b5e8d9667241fad1d3779c20",
            ),
        ],
    };
    assert_eq!(Case::passed(&case.check().await), [""; 0]);
}

#[tokio::test]
async fn zzz_gets_deliveries_with_a_token_as_gitlab_sends_them() {
    let case = Case {
        signature: Signature {
            algorithm: Algorithm::Plain,
            signed: Vec::new(),
            pass: vec!["x-gitlab-*".into()],
            ..signature("x-gitlab-token")
        },
        secret: "a-token-of-ours",
        headers: vec![
            JSON,
            ("x-gitlab-event", "Issue Hook"),
            ("x-gitlab-token", "a-token-of-ours"),
        ],
        body: BODY,
        wrong: vec![
            ("x-gitlab-token", "a-token-of-other"),
            ("x-gitlab-token", "a-token-of-our"),
            ("x-gitlab-token", ""),
        ],
    };
    // The header of the token is among those that pass by their name, and is the secret.
    assert_eq!(Case::passed(&case.check().await), ["x-gitlab-event"]);
}

#[tokio::test]
async fn zzz_gets_deliveries_by_standard_webhooks() {
    let case = Case {
        signature: Signature {
            prefix: "v1,".into(),
            separator: Some(" ".into()),
            encoding: Encoding::Base64,
            signed: vec![
                Part::Header("webhook-id".into()),
                literal("."),
                Part::Timestamp,
                literal("."),
                Part::Body,
            ],
            secret: SecretForm::Base64("whsec_".into()),
            timestamp: timestamp(
                TimestampPlace::Header("webhook-timestamp".into()),
                TimestampUnit::Seconds,
            ),
            pass: vec!["webhook-id".into()],
            ..signature("webhook-signature")
        },
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: vec![
            JSON,
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", AT),
            (
                "webhook-signature",
                "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= \
                 v1,JeDl7WbCQ1avs18n9DosHECLFSH55dPTb7rurmmqQ8M= v1a,AAAA",
            ),
        ],
        body: BODY,
        wrong: vec![
            ("webhook-id", "msg_2"),
            ("webhook-timestamp", "1800000001"),
            ("webhook-signature", "v1a,JeDl7WbCQ1avs18n9DosHECLFSH55dPTb7rurmmqQ8M="),
        ],
    };
    assert_eq!(Case::passed(&case.check().await), ["webhook-id"]);
}

#[tokio::test]
async fn zzz_gets_deliveries_that_a_key_pair_signs() {
    let case = Case {
        signature: Signature {
            algorithm: Algorithm::Ed25519,
            signed: vec![Part::Timestamp, Part::Body],
            secret: SecretForm::Hex,
            timestamp: timestamp(
                TimestampPlace::Header("x-signature-timestamp".into()),
                TimestampUnit::Seconds,
            ),
            ..signature("x-signature-ed25519")
        },
        // The service's public key: RFC 8032, section 7.1, test 1.
        secret: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        headers: vec![
            JSON,
            ("x-signature-timestamp", AT),
            (
                "x-signature-ed25519",
                "9a2d26413ad9ad5cce7b0dc2b7a06b147e5f7e1da57469603525f4106b7d1ada\
                 f6bda3884f6cd4e06e366ffbc0c4495aa1eaab3ed9811b472b5ec1c7538ef501",
            ),
        ],
        body: BODY,
        wrong: vec![("x-signature-timestamp", "1800000001"), ("x-signature-ed25519", "00")],
    };
    case.check().await;
}

#[tokio::test]
async fn zzz_answers_a_challenge_in_a_query_where_its_manifest_says_so() {
    let asked = Signature {
        handshake: Some(Handshake::Query("challenge".into())),
        ..signature("x-signature")
    };
    let scene = scene_of("zzz", asked, "repo:", Some("secret"), options()).await;
    let url = format!("http://{}/hook/zzz", scene.receiver.local_addr());
    let get = async |query: &str| {
        let answer = scene.client.get(format!("{url}{query}")).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    let (status, kind, text) = get("?mode=subscribe&challenge=a%3Cb%3E+c").await;
    assert_eq!((status, text.as_str()), (200, "a<b> c"));
    assert!(kind.starts_with("text/plain"), "what anybody may send is no page: {kind}");
    assert_eq!(get("").await.0, 405);
    assert_eq!(get(&format!("?challenge={}", "x".repeat(1025))).await.0, 405);
    assert_eq!(scene.ledger.ups(), 0, "it proves nothing");
}
