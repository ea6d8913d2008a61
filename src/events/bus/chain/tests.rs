use super::super::message::{State, VERSION};
use super::*;

fn link(n: u64) -> Link {
    Link::of(&Change::Invalidated(format!("id-{n}").into()))
}

fn message(writer: &Writer) -> Message {
    Message {
        v: VERSION,
        n: writer.n,
        base: writer.base,
        win: writer.window(),
        state: State::Live,
        cursor: None,
        sig: String::new(),
    }
}

/// A chain of so many changes.
fn written(changes: u64) -> Writer {
    let mut writer = Writer::begin().unwrap();
    (0..changes).for_each(|n| writer.push(link(n)));
    writer
}

#[test]
fn missing_as_many_changes_as_the_window_holds_is_no_gap_and_one_more_is() {
    let mut writer = written(7);
    let own = writer.position();
    for (missed, whole) in [(63, true), (64, true), (65, false)] {
        while writer.n < 7 + missed {
            writer.push(link(writer.n));
        }
        let (outcome, there) = apply(Some(&own), &message(&writer), How::Kept);
        assert_eq!(there, writer.position());
        let expected: Vec<_> = (7..7 + missed).map(link).collect();
        match whole {
            true => assert_eq!(outcome, Outcome::Resumed(expected)),
            false => assert_eq!(outcome, Outcome::Gap),
        }
    }
}

#[test]
fn the_first_message_says_nothing_of_what_was_before_it() {
    let writer = written(3);
    assert_eq!(apply(None, &message(&writer), How::Kept), (Outcome::Gap, writer.position()));
}

#[test]
fn a_repetition_brings_nothing_and_one_that_was_overtaken_has_no_effect() {
    let mut writer = written(3);
    let early = message(&writer);
    writer.push(link(3));
    let late = message(&writer);
    let own = writer.position();
    for how in [How::Kept, How::Told] {
        assert_eq!(apply(Some(&own), &late, how), (Outcome::Resumed(Vec::new()), own));
    }
    assert_eq!(apply(Some(&own), &early, How::Told), (Outcome::Ignored, own));
}

#[test]
fn what_the_bus_keeps_after_it_was_put_back_is_a_gap_with_the_same_numbers_too() {
    let mut writer = written(10);
    let snapshot = message(&writer);
    writer.push(link(10));
    writer.push(link(11));
    let own = writer.position();
    let (outcome, back) = apply(Some(&own), &snapshot, How::Kept);
    assert_eq!((outcome, back.n), (Outcome::Gap, 10));
    // A relay goes on from there, with other changes under the same numbers.
    let mut forked = Writer::after(&snapshot);
    forked.push(link(99));
    forked.push(link(98));
    assert_eq!(forked.n, own.n);
    assert_eq!(apply(Some(&own), &message(&forked), How::Told), (Outcome::Gap, forked.position()));
    // Who had not heard of what was forgotten has missed nothing.
    let (outcome, _) = apply(Some(&back), &message(&forked), How::Told);
    assert_eq!(outcome, Outcome::Resumed(vec![link(99), link(98)]));
}

#[test]
fn a_chain_that_begins_anew_is_at_no_place_of_another() {
    let own = written(0).position();
    assert_eq!(apply(Some(&own), &message(&written(0)), How::Kept).0, Outcome::Gap);
}

#[test]
fn a_successor_needs_the_last_message_alone() {
    let mut first = written(100);
    let mut second = Writer::after(&message(&first));
    assert_eq!(second.position(), first.position());
    for n in 100..200 {
        first.push(link(n));
        second.push(link(n));
    }
    assert_eq!(message(&second), message(&first));
}

#[test]
fn what_a_relay_says_is_gone_is_asked_for_and_a_gap_is_the_scopes_own() {
    let scope: Arc<str> = "s".into();
    let told = |change: Change| Link::of(&change).change(&scope);
    assert_eq!(told(Change::Removed("a".into())), Change::Invalidated("a".into()));
    assert_eq!(told(Change::Invalidated("a".into())), Change::Invalidated("a".into()));
    assert_eq!(told(Change::ChildrenChanged("a".into())), Change::ChildrenChanged("a".into()));
    assert_eq!(told(Change::Gap("other".into())), Change::Gap("s".into()));
    assert_eq!(told(Change::Invalidated("x".repeat(ID + 1).into())), Change::Gap("s".into()));
}

#[test]
fn a_head_depends_on_the_kind_the_id_and_all_before() {
    let one = Head::default();
    let removed = Link::of(&Change::Removed("id-1".into()));
    assert_ne!(one.then(&link(1)), one.then(&removed));
    assert_ne!(one.then(&link(1)), one.then(&link(2)));
    assert_ne!(one.then(&link(1)).then(&link(2)), one.then(&link(2)).then(&link(1)));
    let text = serde_json::to_string(&one.then(&link(1))).unwrap();
    assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), one.then(&link(1)));
    let long = "\u{e4}".repeat(32);
    for odd in ["\"\"", "\"00\"", "1", &format!("\"{}\"", "g".repeat(64)), &format!("\"{long}\"")] {
        assert!(serde_json::from_str::<Head>(odd).is_err(), "{odd}");
    }
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Messages that are lost, repeated and put in another order: a listener hears of each change once, in order, or
/// has a gap for what it has not heard of, and ends where the writer is.
#[test]
fn duplicates_reorderings_and_losses_come_to_each_change_once_or_to_a_gap() {
    let (mut resumed, mut gaps, mut ignored) = (0, 0, 0);
    for seed in 1..=500 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut writer = written(5);
        let mut own = writer.position();
        let mut said = vec![message(&writer)];
        let mut next = 5;
        for _ in 0..40 {
            for _ in 0..random.below(40) {
                writer.push(link(writer.n));
            }
            said.push(message(&writer));
            if random.below(2) == 0 {
                continue;
            }
            let back = random.below(4) as usize;
            let told = &said[said.len().saturating_sub(1 + back)];
            let (outcome, there) = apply(Some(&own), told, How::Told);
            match outcome {
                Outcome::Resumed(links) => {
                    for missed in links {
                        assert_eq!(missed, link(next), "seed {seed}");
                        next += 1;
                    }
                    resumed += 1;
                }
                Outcome::Gap => {
                    assert!(there.n > own.n + WINDOW as u64, "seed {seed}");
                    next = there.n;
                    gaps += 1;
                }
                Outcome::Ignored => {
                    assert!(told.n < own.n, "seed {seed}");
                    ignored += 1;
                }
            }
            assert!(there.n >= own.n, "seed {seed}");
            own = there;
            assert_eq!(own.n, next, "seed {seed}");
        }
        let (_, there) = apply(Some(&own), &message(&writer), How::Kept);
        assert_eq!(there, writer.position(), "seed {seed}");
    }
    assert!(resumed > 1_000 && gaps > 100 && ignored > 1_000, "{resumed} {gaps} {ignored}");
}

#[test]
fn two_that_go_on_from_one_message_and_say_the_same_are_at_two_positions() {
    let begun = Writer::begin().unwrap();
    let gone_on = || {
        let mut writer = begun.clone();
        writer.push(Link::mark().unwrap());
        writer.push(Link::of(&Change::Invalidated("a".into())));
        writer.position()
    };
    let (one, other) = (gone_on(), gone_on());
    assert_eq!(one.n, other.n);
    assert_ne!(one.head, other.head);
}
