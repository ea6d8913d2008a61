//! What a user approves: a component's bytes, and what they ask for.
//!
//! Invariant: a component that was added runs only while its checked manifest says word for word what it
//! said when it was approved. The same bytes could ask for more on another day; they are described with
//! nothing of the world to go by (wasm/host.rs), and what they say is compared all the same.

use crate::component::{self, Error};
use crate::config::{Approval, Instance, Source};
use crate::provider::Manifest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Differences that an error names. The rest are counted.
const NAMED: usize = 6;

/// Everything that a manifest says, a line for each value: `endpoints.api.purpose = "..."`. What is absent
/// has no line, so that a manifest that does not use a new field says what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks(BTreeSet<String>);

impl Asks {
    pub fn of(manifest: &Manifest) -> Asks {
        let mut lines = BTreeSet::new();
        // Of strings, numbers and lists of them: that has a JSON.
        flatten("", &serde_json::to_value(manifest).unwrap_or_default(), &mut lines);
        Asks(lines)
    }

    /// `sha256:HEX` of [`Asks::text`].
    pub fn digest(&self) -> String {
        component::digest(self.text().as_bytes())
    }

    /// In order of the lines.
    pub fn text(&self) -> String {
        self.0.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// What is asked for and was not before (`+`), and what no longer is (`-`).
    pub fn since(&self, before: &Asks) -> Vec<String> {
        let more = self.0.difference(&before.0).map(|line| format!("+ {line}"));
        more.chain(before.0.difference(&self.0).map(|line| format!("- {line}"))).collect()
    }

    /// What was recorded beside a component when this was approved. `None` where it is not there, or not
    /// what was approved.
    pub fn recorded(component: &Path, digest: &str) -> Option<Asks> {
        let text = std::fs::read_to_string(record(component)).ok()?;
        let asks = Asks(text.lines().map(str::to_owned).collect());
        (asks.digest() == digest).then_some(asks)
    }
}

/// The file beside a component that says what it asked for.
pub fn record(component: &Path) -> PathBuf {
    component.with_extension("asks")
}

fn flatten(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&below(key), value, lines));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                match item.get("name").and_then(Value::as_str) {
                    Some(name) => flatten(&below(name), item, lines),
                    None => flatten(&below(&place.to_string()), item, lines),
                }
            }
        }
        value => {
            // A string in JSON is one line. It leaves as it is much else that nobody can see.
            let text = format!("{path} = {value}");
            let (mut line, mut from) = (String::new(), 0);
            for (at, c) in omnifs_text::hidden(&text) {
                line.push_str(&text[from..at]);
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
                from = at + c.len_utf8();
            }
            line.push_str(&text[from..]);
            lines.insert(line);
        }
    }
}

/// Whether an instance may run what says this of itself, after [`component::approve`].
pub fn bind(instance: &Instance, manifest: &Manifest) -> Result<(), Error> {
    let (Source::File(path), Approval::Recorded { asks, .. }) =
        (&instance.source, &instance.approval)
    else {
        return Ok(());
    };
    let Some(approved) = asks else { return Err(Error::Unapproved(path.clone())) };
    let now = Asks::of(manifest);
    if now.digest() == *approved {
        return Ok(());
    }
    let mut difference =
        Asks::recorded(path, approved).map_or_else(Vec::new, |before| now.since(&before));
    let more = difference.len().saturating_sub(NAMED);
    difference.truncate(NAMED);
    if more > 0 {
        difference.push(format!("and {more} more"));
    }
    Err(Error::AsksElse { path: path.clone(), difference })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::InstanceConfig;
    use crate::provider::{
        Algorithm, Bodies, ConfigKey, Contexts, Credential, Encoding, Endpoint, Feed, FeedKind,
        Handshake, Limits, Method, Nearby, OAuth, OtherHost, OtherLogin, Parameter, ParameterKind,
        Part, PathDoc, Probe, ResetUnit, Scheme, Scope, Scopes, Search, SecretForm, Session,
        Signature, Statement, Timestamp, TimestampPlace, TimestampUnit, Window, WindowName,
    };
    use std::time::Duration;

    /// With something in every field.
    fn full() -> Manifest {
        let text = |name: &str| name.to_owned();
        Manifest {
            name: text("a"),
            version: text("1.0.0"),
            summary: text("summary"),
            root: text("root"),
            config: vec![ConfigKey {
                name: text("key"),
                description: text("description"),
                default: Some(text("default")),
            }],
            endpoints: vec![Endpoint {
                name: text("api"),
                default_url: text("https://a.example"),
                url_environment: Some(text("A_URL")),
                allow: vec![(Method::Get, text("/user"))],
                credentials: vec![text("token")],
                redirect_hosts: vec![text("b.example")],
                limits: Limits {
                    windows: vec![Window {
                        name: WindowName::Fixed(text("core")),
                        limit: text("limit"),
                        remaining: text("remaining"),
                        reset: text("reset"),
                        reset_unit: ResetUnit::Seconds,
                        cost: Some(text("cost")),
                        fixed: true,
                    }],
                    throttled: vec![text("slow")],
                    slow_down: vec![text("slower")],
                },
                purpose: text("purpose"),
                nearby: Some(Nearby {
                    contexts: Some(Contexts {
                        files: vec![text("~/a/*.json")],
                        name: text("/Name"),
                        address: text("/Host"),
                        chosen_environment: Some(text("A_CONTEXT")),
                        chosen_files: vec![text("~/a.json")],
                        chosen: text("/current"),
                    }),
                    sockets: vec![text("unix:///run/a.sock")],
                }),
                bodies: Some(Bodies { member: text("method"), values: vec![text("list")] }),
                session: Some(Session {
                    header: text("x-session-id"),
                    begun_by: text("list"),
                    confirmed_by: text("done"),
                }),
                statements: vec![Statement {
                    name: text("all"),
                    text: text("SELECT {key}"),
                    parameters: vec![Parameter { name: text("key"), kind: ParameterKind::Value }],
                }],
            }],
            credentials: vec![Credential {
                name: text("token"),
                scheme: Scheme::Header(text("x-token")),
                environment: vec![text("A_TOKEN")],
                environment_elsewhere: vec![text("A_OTHER")],
                raw_prefixes: vec![text("a_")],
                oauth: Some(OAuth {
                    authorize_url: text("https://a.example/authorize"),
                    device_url: Some(text("https://a.example/device")),
                    token_url: text("https://a.example/token"),
                    client_id: Some(text("client")),
                    scopes: vec![text("read")],
                    elsewhere: true,
                }),
                help_url: text("https://a.example/help"),
                whose: Some(Probe {
                    endpoint: text("api"),
                    method: Method::Post,
                    path: text("/who"),
                    body: Some(text("body")),
                    name: text("/login"),
                }),
                scopes: Some(Scopes {
                    header: text("x-scopes"),
                    needed: vec![Scope {
                        name: text("read"),
                        held_by: vec![text("admin")],
                        purpose: text("all"),
                    }],
                }),
                logins: vec![OtherLogin {
                    program: text("ex"),
                    arguments: vec![text("token")],
                    files: vec![text("~/.ex/hosts")],
                    secret: text("/secret"),
                    user: text("/user"),
                    own_host: text("a.example"),
                    other_hosts: vec![OtherHost {
                        ends_with: text(".b.example"),
                        endpoint: text("api"),
                        url: text("https://{host}"),
                    }],
                }],
            }],
            feeds: vec![Feed {
                name: text("hooks"),
                kind: FeedKind::Webhook,
                scopes: text("a:"),
                endpoint: Some(text("api")),
                silence: Some(Duration::from_secs(5)),
                signature: Some(Signature {
                    header: text("x-signature"),
                    algorithm: Algorithm::HmacSha256,
                    encoding: Encoding::Hex,
                    prefix: text("v0="),
                    separator: Some(text(",")),
                    signed: vec![Part::Literal(text("v0:")), Part::Body],
                    secret: SecretForm::Base64(text("whsec_")),
                    timestamp: Some(Timestamp {
                        at: TimestampPlace::Header(text("x-time")),
                        unit: TimestampUnit::Seconds,
                    }),
                    handshake: Some(Handshake::Query(text("challenge"))),
                    content_types: vec![text("application/json")],
                    pass: vec![text("x-event")],
                }),
            }],
            guide: vec![PathDoc {
                pattern: text("{name}/"),
                summary: text("a thing"),
                entries: vec![text("title")],
                example: text("a/"),
                requests: 1,
                page: Some(100),
                each_open: true,
                search: Search::Costly,
            }],
        }
    }

    fn instance(path: &Path, asks: Option<String>) -> Instance {
        Instance {
            name: "x".into(),
            source: Source::File(path.to_owned()),
            approval: Approval::Recorded { component: "sha256:00".into(), asks },
            enabled: true,
            config: InstanceConfig::default(),
            egress: Default::default(),
        }
    }

    /// Every value in it, changed one at a time.
    fn changed(value: &Value, out: &mut Vec<Value>, put: &dyn Fn(Value) -> Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    changed(member, out, &|new| {
                        let mut members = members.clone();
                        members.insert(key.clone(), new);
                        put(Value::Object(members))
                    });
                }
            }
            Value::Array(items) => {
                // Of two with one name the check refuses the second.
                if items.iter().all(|item| !item["name"].is_string()) {
                    out.push(put(Value::Array([items.clone(), items.clone()].concat())));
                }
                out.push(put(Value::Array(vec![])));
                for (place, item) in items.iter().enumerate() {
                    changed(item, out, &|new| {
                        let mut items = items.clone();
                        items[place] = new;
                        put(Value::Array(items))
                    });
                }
            }
            Value::String(text) => out.push(put(format!("{text}x").into())),
            Value::Number(number) => out.push(put((number.as_u64().unwrap() + 1).into())),
            Value::Bool(yes) => out.push(put((!yes).into())),
            Value::Null => panic!("a field of the full manifest is empty"),
        }
    }

    #[test]
    fn each_field_of_a_manifest_that_changes_after_the_approval_is_another_request() {
        let whole = serde_json::to_value(full()).unwrap();
        let mut others = Vec::new();
        changed(&whole, &mut others, &|value| value);
        let asks = |value: &Value| {
            let mut lines = BTreeSet::new();
            flatten("", value, &mut lines);
            Asks(lines)
        };
        let approved = Asks::of(&full());
        assert_eq!(asks(&whole), approved);
        assert!(others.len() > 60, "{} fields", others.len());
        for other in others {
            let other_asks = asks(&other);
            assert_ne!(other_asks.digest(), approved.digest(), "{other}");
            assert!(!other_asks.since(&approved).is_empty(), "{other}");
        }
        // An empty text is another request than none.
        let basic = |user: Option<&str>| {
            let mut manifest = full();
            manifest.credentials[0].scheme = Scheme::Basic(user.map(str::to_owned));
            Asks::of(&manifest)
        };
        assert_ne!(basic(None), basic(Some("")));
        for scheme in [Scheme::Bearer, Scheme::Header(String::new())] {
            let mut manifest = full();
            manifest.credentials[0].scheme = scheme;
            assert_ne!(Asks::of(&manifest), basic(None));
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_in_what_is_shown_and_recorded() {
        let asks = |root: &str| Asks::of(&Manifest { root: root.into(), ..full() });
        let text = asks("a\u{9b}31m\u{7f}\u{1b}\n\\u009b").text();
        assert!(omnifs_text::hidden(&text).all(|(_, c)| c == '\n'), "{text:?}");
        assert!(text.contains(r#"root = "a\u009b31m\u007f\u001b\n\\u009b""#), "{text}");
        assert_ne!(asks("\u{9b}"), asks("\\u009b"));
        assert!(asks("a\u{202e}b\u{e0041}").text().contains(r#"root = "a\u202eb\ue0041""#));
    }

    #[test]
    fn what_was_approved_binds_and_what_has_changed_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let approved = Asks::of(&full());
        let instance_of = |asks| instance(&path, asks);
        let recorded = instance_of(Some(approved.digest()));
        assert!(bind(&recorded, &full()).is_ok());
        assert!(matches!(bind(&instance_of(None), &full()), Err(Error::Unapproved(_))));
        let mut other = full();
        other.endpoints[0].default_url = "https://c.example".into();
        let difference = |instance: &Instance| match bind(instance, &other) {
            Err(Error::AsksElse { difference, .. }) => difference,
            other => panic!("{other:?}"),
        };
        assert_eq!(difference(&recorded), [""; 0], "nothing was recorded beside it");
        std::fs::write(record(&path), approved.text()).unwrap();
        let url = |host: &str| format!("endpoints.api.default_url = \"https://{host}.example\"");
        assert_eq!(difference(&recorded), [format!("+ {}", url("c")), format!("- {}", url("a"))]);
        std::fs::write(record(&path), format!("{}{}\n", approved.text(), url("c"))).unwrap();
        assert_eq!(difference(&recorded), [""; 0], "not what was approved");
    }
}
