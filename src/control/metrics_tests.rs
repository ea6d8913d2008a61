//! The text against a strict reader of the format and against its documentation.

use super::super::{
    CacheStatus, CoreStatus, LoadStatus, MountStatus, ProviderStatus, WebhookStatus,
};
use super::*;
use std::collections::BTreeSet;

/// What a reader keeps of a name.
#[derive(Debug, Default)]
struct Read {
    kind: String,
    /// By label pairs, as written.
    samples: BTreeMap<String, f64>,
    labels: BTreeSet<String>,
}

/// Reads OpenMetrics text as its specification has it, as far as counters and gauges go.
fn read(text: &str) -> BTreeMap<String, Read> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut families: BTreeMap<String, Read> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let (what, rest) = meta.split_once(' ').expect(line);
            let (name, value) = rest.split_once(' ').expect(line);
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            match what {
                "TYPE" => {
                    assert!(["counter", "gauge"].contains(&value), "{line}");
                    assert!(!families.contains_key(name), "stands together: {line}");
                    families.insert(name.into(), Read { kind: value.into(), ..Read::default() });
                    current = name.into();
                }
                "UNIT" => {
                    assert!(name == current && name.ends_with(&format!("_{value}")), "{line}")
                }
                "HELP" => assert!(name == current && !value.contains('\\'), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
            None => (series, ""),
        };
        let family = families.get_mut(&current).expect("its type comes first");
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        assert_eq!(name, format!("{current}{suffix}"));
        let value: f64 = value.parse().expect(line);
        assert!(value.is_finite() && value >= 0.0, "{line}");
        family.labels.extend(pairs(labels).into_iter().map(|(label, _)| label));
        assert!(family.samples.insert(labels.into(), value).is_none(), "twice: {line}");
    }
    families
}

/// `a="b",c="d"`, with the three escapes.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect(text);
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect(text) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().expect(text).1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => panic!("{text}"),
                }),
                (_, c) => value.push(c),
            }
        };
        found.push((name.to_owned(), value));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    found
}

fn budget(credential: &str, resource: &str, remaining: u64) -> BudgetStatus {
    BudgetStatus {
        provider: "hub".into(),
        credential: credential.into(),
        resource: resource.into(),
        limit: Some(5000),
        remaining: Some(remaining),
        resets: Some(1_700_000_000_500),
        exhausted: remaining == 0,
        resumes: None,
    }
}

fn scope(name: &str, kind: &str, state: FeedState, lag: u64) -> ScopeStatus {
    ScopeStatus {
        provider: "hub".into(),
        scope: name.into(),
        feed: "changes".into(),
        kind: kind.into(),
        state,
        why: None,
        nodes: 1,
        events: 1,
        heard: Some(lag),
        lag: Some(lag),
    }
}

/// A mount that has some of everything.
fn full() -> Status {
    let mount = MountStatus {
        mountpoint: "/home/me/SECRET-place".into(),
        pid: 1,
        version: "1".into(),
        backend: "fuse".into(),
        started: 1_700_000_000_000,
        log: "/SECRET-place".into(),
        allow_other: false,
        stale_if_error: false,
        kept: false,
        taken_back: false,
    };
    let counts =
        CalloutCounts { callouts: 3, responses: [0, 2, 1, 0, 0], ..CalloutCounts::default() };
    let endpoint = EndpointCounts { name: "a\"p\\i\n".into(), counts, in_flight: 2 };
    let core = CoreStatus {
        providers: vec![
            ProviderStatus { name: "hub".into(), endpoints: vec![endpoint], ..Default::default() },
            ProviderStatus {
                name: "b".into(),
                problem: Some("SECRET".into()),
                ..Default::default()
            },
        ],
        scopes: vec![
            scope("repo:SECRET/one", "poll", FeedState::Live, 4000),
            scope("repo:SECRET/two", "poll", FeedState::Live, 61_000),
            scope("repo:SECRET/three", "poll", FeedState::Resting, 99_000),
            scope("none", "", FeedState::Suspect, 0),
        ],
        cache: CacheStatus { hits: 7, bytes: 9, ..CacheStatus::default() },
        load: LoadStatus { lock_wait: 1_500, ..LoadStatus::default() },
        budgets: vec![
            budget("SECRET one", "core", 4000),
            budget("SECRET two", "core", 0),
            budget("SECRET one", "ghp_SECRET0123456789", 1),
        ],
        webhooks: vec![
            WebhookStatus {
                provider: "hub".into(),
                address: Some("x".into()),
                waiting: 5,
                ..Default::default()
            },
            WebhookStatus { provider: "b".into(), ..Default::default() },
        ],
        ..CoreStatus::default()
    };
    Status { mount, core }
}

#[test]
fn a_strict_reader_understands_it() {
    let families = read(&text(&full()));
    let value = |name: &str, labels: &str| {
        let family = families.get(name).unwrap_or_else(|| panic!("{name}"));
        *family.samples.get(labels).unwrap_or_else(|| panic!("{labels} in {family:?}"))
    };
    assert_eq!(families["omnifs_cache_hits"].kind, "counter");
    assert_eq!(families["omnifs_cache_bytes"].kind, "gauge");
    assert_eq!(value("omnifs_cache_hits", ""), 7.0);
    assert_eq!(value("omnifs_lock_wait_seconds", ""), 0.0015);
    assert_eq!(value("omnifs_provider_up", "provider=\"b\""), 0.0);
    let hub = r#"provider="hub",endpoint="a\"p\\i\n""#;
    assert_eq!(pairs(hub)[1].1, "a\"p\\i\n");
    assert_eq!(value("omnifs_callouts", hub), 3.0);
    assert_eq!(value("omnifs_responses", &format!("{hub},class=\"2xx\"")), 2.0);
    assert_eq!(value("omnifs_callouts_in_flight", hub), 2.0);
    assert_eq!(value("omnifs_feed_lag_seconds", r#"provider="hub",kind="poll""#), 61.0);
    assert_eq!(value("omnifs_feed_scopes", r#"provider="hub",kind="poll",state="live""#), 2.0);
    assert_eq!(value("omnifs_webhook_queue_depth", r#"provider="hub""#), 5.0);
    let core = r#"provider="hub",window="core""#;
    assert_eq!(value("omnifs_budget_remaining", core), 0.0, "the credential that leaves least");
    assert_eq!(value("omnifs_budget_reset_timestamp_seconds", core), 1_700_000_000.5);
    assert_eq!(value("omnifs_budget_remaining", r#"provider="hub",window="other""#), 1.0);
}

#[test]
fn no_label_holds_a_secret_a_scope_or_a_place() {
    let text = text(&full());
    for absent in ["SECRET", "repo:", "/home"] {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
}

#[test]
fn the_number_of_samples_does_not_grow_with_scopes_credentials_or_window_names() {
    let mut status = full();
    let few = text(&status).lines().count();
    for number in 0..10_000 {
        status.core.scopes.push(scope(&number.to_string(), "poll", FeedState::Lost, number));
        status.core.budgets.push(budget(&number.to_string(), &format!("w{number}"), number));
    }
    assert_eq!(text(&status).lines().count(), few);
}

#[test]
fn each_name_is_documented_with_its_type_and_labels_and_no_other_is() {
    let printed: BTreeSet<String> = read(&text(&full()))
        .into_iter()
        .map(|(name, Read { kind, labels, samples })| {
            assert!(!samples.is_empty(), "{name}");
            let suffix = if kind == "counter" { "_total" } else { "" };
            let labels: Vec<_> = labels.into_iter().collect();
            format!("`{name}{suffix}`|{kind}|{}", labels.join(", "))
        })
        .collect();
    let documented: BTreeSet<String> = include_str!("../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ").filter(|rest| rest.starts_with("`omnifs_")))
        .map(|row| row.split('|').take(3).map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    let missing: Vec<_> = printed.difference(&documented).collect();
    let dead: Vec<_> = documented.difference(&printed).collect();
    assert!(
        missing.is_empty() && dead.is_empty(),
        "not in docs/metrics.md: {missing:#?}\nonly there: {dead:#?}"
    );
}
