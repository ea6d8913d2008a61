use super::*;

const I: InstanceId = InstanceId(0);

fn ledger() -> (Ledger, Arc<Scope>) {
    let mut ledger = Ledger::default();
    let scope = ledger.scope(I, &Arc::from("engine"), 0);
    (ledger, scope)
}

#[test]
fn what_no_feed_of_the_manifest_covers_is_told_once_for_each_prefix() {
    let mut ledger = Ledger::default();
    ledger.declared(I, vec!["team:".into(), "engine".into()]);
    for id in ["team:1", "engine", "issues:1", "issues:2", "engines", "issues:1"] {
        let scope = ledger.scope(I, &Arc::from(id), 0);
        assert!(!scope.covers(0), "{id}");
    }
    let told: Vec<_> = ledger.standings().into_iter().map(|row| (row.scope, row.nodes)).collect();
    assert_eq!(told, [("engines".into(), 0), ("issues:".into(), 0)]);
    assert!(ledger.standings().iter().all(|row| !row.live && row.note.contains("manifest")));
    // An instance whose manifest nobody told is not judged.
    ledger.scope(InstanceId(1), &Arc::from("other"), 0);
    assert_eq!(ledger.standings().len(), 2);
}

#[test]
fn a_scope_covers_nothing_until_its_feed_is_up() {
    let (mut ledger, scope) = ledger();
    let early = ledger.begin();
    assert!(!scope.covers(early));
    ledger.up(I, "engine");
    assert!(!scope.covers(early), "fetched before the feed stood");
    let late = ledger.begin();
    assert!(scope.covers(late));
}

#[test]
fn a_lost_feed_covers_again_only_what_a_resume_proves() {
    let (mut ledger, scope) = ledger();
    ledger.up(I, "engine");
    let stamp = ledger.begin();
    ledger.end(stamp);
    ledger.lost(I, "engine", "cut");
    assert!(!scope.covers(stamp));
    ledger.up(I, "engine");
    assert!(!scope.covers(stamp), "nothing proves that no event was missed");
    ledger.resumed(I, "engine");
    assert!(scope.covers(stamp));
}

#[test]
fn a_gap_spoils_a_later_resume() {
    let (mut ledger, scope) = ledger();
    ledger.up(I, "engine");
    let stamp = ledger.begin();
    ledger.lost(I, "engine", "cut");
    ledger.up(I, "engine");
    ledger.record(I, &Change::Gap("engine".into()));
    ledger.resumed(I, "engine");
    assert!(!scope.covers(stamp));
}

#[test]
fn a_loss_overtakes_the_first_fetch_of_a_polled_scope() {
    let mut ledger = Ledger::default();
    ledger.polled(I, "repo:");
    let stamp = ledger.begin();
    assert!(ledger.lost(I, "repo:a", "refused"));
    assert_eq!(ledger.hits(I, stamp).count(), 1);
    assert!(!ledger.lost(I, "repo:a", "refused"), "no news");
    assert_eq!(ledger.hits(I, stamp).count(), 2, "and an attempt that failed since");
    assert!(!ledger.scope(I, &Arc::from("repo:a"), stamp).covers(stamp));
}

#[test]
fn between_two_attempts_of_a_lost_feed_what_was_asked_for_is_shared() {
    let (mut ledger, scope) = ledger();
    ledger.up(I, "engine");
    let before = ledger.begin();
    assert!(!scope.shares(before), "nothing is shared while the feed vouches");
    ledger.lost(I, "engine", "refused");
    assert!(!scope.shares(before));
    let first = ledger.begin();
    assert!(scope.shares(first) && !scope.covers(first));
    ledger.lost(I, "engine", "refused again");
    let second = ledger.begin();
    assert!(!scope.shares(first) && scope.shares(second));
    ledger.record(I, &Change::Gap("engine".into()));
    assert!(!scope.shares(second), "something was missed since");
    let third = ledger.begin();
    assert!(ledger.scope(I, &Arc::from("engine"), third).shares(third));
    ledger.rest(I, "engine", "nobody uses it");
    assert!(!scope.shares(third) && !scope.shares(ledger.begin()), "no attempt is made");
}

#[test]
fn a_use_of_a_scope_is_told_once() {
    let (mut ledger, scope) = ledger();
    let mut used = || ledger.take_active(I, "").into_iter().map(|scope| scope.used).collect();
    let (first, second): (Vec<bool>, Vec<bool>) = (used(), used());
    scope.note_use();
    assert_eq!([first, second, used(), used()].concat(), [true, false, true, false]);
}

#[test]
fn the_prefixes_that_are_looked_up_for_a_scope_are_those_that_cover_it() {
    let prefixes = ["", "a", "a:", "a:b", "a:b:", "a:b:c", "b:", ":", "a:b:c:"];
    for id in ["", "a", "a:", "a:b", "a:b:c", "ab:c", ":x"] {
        let mut expected: Vec<_> = prefixes.into_iter().filter(|p| covers(p, id)).collect();
        expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        let found: Vec<_> = covering(id).filter(|p| prefixes.contains(p)).collect();
        assert_eq!(found, expected, "{id:?}");
    }
}

#[test]
fn a_scope_that_idled_and_is_used_again_is_covered_from_its_first_fetch() {
    let mut ledger = Ledger::default();
    ledger.polled(I, "repo:");
    let id = Arc::from("repo:a");
    let stamp = ledger.begin();
    let scope = ledger.scope(I, &id, stamp);
    ledger.up(I, "repo:a");
    drop(scope);
    assert!(ledger.take_active(I, "repo:").is_empty());
    assert!(!ledger.idle(I, "repo:a"));
    assert!(ledger.standings().is_empty(), "nobody uses it, so there is nothing to tell of it");
    let stamp = ledger.begin();
    assert!(ledger.scope(I, &id, stamp).covers(stamp));
}

#[test]
fn a_scope_that_is_used_again_while_its_poll_ends_is_suspect_until_the_next_one() {
    let mut ledger = Ledger::default();
    ledger.polled(I, "repo:");
    let stamp = ledger.begin();
    let scope = ledger.scope(I, &Arc::from("repo:a"), stamp);
    assert!(ledger.idle(I, "repo:a"), "what was kept of it is in doubt");
    assert!(!scope.covers(stamp));
    ledger.up(I, "repo:a");
    let stamp = ledger.begin();
    assert!(scope.covers(stamp));
}

#[test]
fn an_event_counts_for_the_feeds_of_its_scopes_alone() {
    let mut ledger = Ledger::default();
    for prefix in ["repo:a", "repo:b", "repo:", "engine"] {
        ledger.up(I, prefix);
    }
    ledger.count_event(I, ["repo:a", "repo:a", "repo:c"]);
    ledger.record(I, &Change::Gap("repo:b".into()));
    let counts: Vec<_> =
        ledger.standings().into_iter().map(|s| (s.scope.to_string(), s.events)).collect();
    let expected = [("engine", 0), ("repo:", 2), ("repo:a", 1), ("repo:b", 1)];
    assert_eq!(counts, expected.map(|(scope, events)| (scope.to_owned(), events)));
}

#[test]
fn ten_thousand_scopes_are_told_of_in_a_time_that_grows_with_their_number_only() {
    let mut ledger = Ledger::default();
    ledger.polled(I, "repo:");
    let mut held = Vec::new();
    for number in 0..10_000 {
        let stamp = ledger.begin();
        held.push(ledger.scope(I, &Arc::from(format!("repo:{number}")), stamp));
        ledger.end(stamp);
    }
    let told = || {
        let started = std::time::Instant::now();
        let standings = ledger.standings();
        assert!(standings.len() == 10_000 && standings.iter().all(|s| s.live && s.nodes == 1));
        started.elapsed()
    };
    // The quadratic way took seconds.
    let best = (0..5).map(|_| told()).min();
    assert!(best < Some(std::time::Duration::from_secs(1)), "{best:?}");
}

#[test]
fn a_feed_that_is_up_already_spoils_no_fetch_by_saying_so_again() {
    let (mut ledger, _) = ledger();
    ledger.up(I, "engine");
    let stamp = ledger.begin();
    ledger.up(I, "engine");
    assert_eq!(ledger.hits(I, stamp).count(), 0);
}

#[test]
fn events_are_remembered_exactly_as_long_as_a_fetch_may_need_them() {
    let (mut ledger, _) = ledger();
    let stamp = ledger.begin();
    ledger.record(I, &Change::Invalidated("x".into()));
    ledger.record(InstanceId(1), &Change::Invalidated("x".into()));
    assert_eq!(ledger.hits(I, stamp).count(), 1);
    ledger.end(stamp);
    assert!(ledger.log.is_empty());
    ledger.record(I, &Change::Invalidated("y".into()));
    assert!(ledger.log.is_empty(), "no fetch under way needs it");
}
