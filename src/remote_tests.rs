use super::*;
use crate::provider::{Method, Request};

fn source(length: u64, validator: Option<&str>, digest: Option<[u8; 32]>) -> Source {
    let request = Request {
        endpoint: "api".into(),
        method: Method::Get,
        path: "/asset".into(),
        headers: Vec::new(),
        body: None,
    };
    Source { request, offset: 0, length, validator: validator.map(str::to_owned), digest }
}

fn at(length: u64, validator: Option<&str>, digest: Option<[u8; 32]>) -> At {
    At::new(Arc::new(source(length, validator, digest)), false)
}

fn piece(validator: Option<Validator>) -> Piece {
    Piece { bytes: Bytes::from_static(b"bytes"), validator, whole: None }
}

fn tag(tag: &str) -> Option<Validator> {
    Some(Validator::Tag(tag.to_owned()))
}

fn date(settled: bool) -> Option<Validator> {
    let text = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    Some(Validator::Date { text, settled })
}

fn cause(admitted: Result<(), (Cause, String)>) -> Option<Cause> {
    admitted.err().map(|(cause, _)| cause)
}

#[test]
fn pieces_of_two_states_are_never_put_together() {
    let at = at(9 * PIECE, None, None);
    assert_eq!(cause(at.admit(&piece(tag("\"a\"")), true)), None);
    assert_eq!(cause(at.admit(&piece(tag("\"b\"")), true)), Some(Cause::Changed));
    assert_eq!(cause(at.admit(&piece(tag("\"a\"")), true)), None);
    assert_eq!(at.wanted(1).validator, tag("\"a\"").as_ref());
}

#[test]
fn after_an_event_only_a_strong_validator_that_was_known_before_it_goes_on() {
    for (before, after, goes_on) in [
        (tag("\"a\""), tag("\"a\""), true),
        (tag("W/\"a\""), tag("W/\"a\""), false),
        (date(true), date(true), true),
        (date(false), date(true), false),
        (tag("\"a\""), None, false),
        (None, tag("\"a\""), false),
        (None, None, false),
    ] {
        let at = at(9 * PIECE, None, None);
        if before.is_some() {
            assert_eq!(cause(at.admit(&piece(before.clone()), true)), None);
        }
        let judged = cause(at.admit(&piece(after.clone()), false));
        assert_eq!(judged, (!goes_on).then_some(Cause::Changed), "{before:?}, {after:?}");
        // Without an event what the service does not contradict is believed.
        assert_eq!(cause(at.admit(&piece(after), true)), None);
    }
    let immutable = At::new(Arc::new(source(PIECE, None, None)), true);
    assert_eq!(cause(immutable.admit(&piece(None), false)), None);
}

#[test]
fn equal_proofs_are_equal_contents_and_what_proves_nothing_equals_nothing() {
    fn proof(source: Source, immutable: bool, version: Option<&str>) -> Option<u64> {
        Remote::of(&Body::At(Arc::new(source)), immutable)?.proof(version)
    }
    assert_eq!(proof(source(5, None, None), false, None), None);
    let tagged = proof(source(5, Some("\"a\""), None), false, None);
    assert!(tagged.is_some());
    assert_eq!(tagged, proof(source(5, Some("\"a\""), None), false, None));
    assert_ne!(tagged, proof(source(5, Some("\"b\""), None), false, None));
    assert!(proof(source(5, None, None), true, None).is_some());
    let version = proof(source(5, None, None), false, Some("v1"));
    assert!(version.is_some());
    assert_ne!(version, proof(source(5, None, None), false, Some("v2")));
    // The digest alone says which content it is, wherever it is.
    let moved = |path: &str| {
        let mut source = source(5, Some(path), Some([7; 32]));
        source.request.path = path.to_owned();
        proof(source, false, Some(path))
    };
    assert_eq!(moved("/a"), moved("/b"));
}

#[test]
fn what_is_read_in_any_order_is_summed_as_its_turn_comes() {
    let content: Vec<Bytes> =
        (0..4u8).map(|n| Bytes::from(vec![n; if n == 3 { 10 } else { PIECE as usize }])).collect();
    let right: [u8; 32] = Sha256::digest(content.concat()).into();
    for (digest, last) in [(right, Summed::Nothing), ([9; 32], Summed::Wrong)] {
        let at = at(3 * PIECE + 10, None, Some(digest));
        assert_eq!(at.sum(1, &content[1]), Summed::Nothing);
        assert_eq!(at.sum(0, &content[0]), Summed::Next(1));
        assert_eq!(at.sum(0, &content[0]), Summed::Nothing, "a second time");
        assert_eq!(at.sum(1, &content[1]), Summed::Next(2));
        assert_eq!(at.sum(2, &content[2]), Summed::Next(3));
        assert_eq!(at.sum(3, &content[3]), last);
        assert_eq!(at.sum(3, &content[3]), last, "also for who waited for the same piece");
    }
}

#[test]
fn a_whole_answer_is_held_to_the_digest_at_once() {
    let whole = Bytes::from_static(b"whole");
    let answered = Piece { bytes: whole.clone(), validator: None, whole: Some(whole.clone()) };
    let right = at(5, None, Some(Sha256::digest(&whole).into()));
    assert_eq!(cause(right.admit(&answered, true)), None);
    let wrong = at(5, None, Some([9; 32]));
    assert_eq!(cause(wrong.admit(&answered, true)), Some(Cause::Invalid));
}

#[test]
fn one_piece_is_asked_for_until_the_service_is_known_to_answer_in_parts() {
    let at = at(9 * PIECE, None, None);
    assert_eq!((at.to_ask(4), at.to_ask(0), at.to_ask(7)), (4, 4, 4));
    assert_eq!(cause(at.admit(&piece(None), true)), None);
    assert_eq!((at.to_ask(4), at.to_ask(0), at.to_ask(7)), (4, 0, 7));
}

#[test]
fn what_has_ended_equals_nothing_that_is_said_later() {
    let remote = || Remote::At(Arc::new(at(PIECE, Some("\"a\""), None)));
    let (one, other) = (remote(), remote());
    assert_eq!(one, other);
    let Remote::At(at) = &one else { panic!("made above") };
    at.end(Cause::Changed);
    assert_eq!(at.over(), Some(Cause::Changed));
    assert_ne!(one, other);
    let (one, other) = (remote(), remote());
    one.retire();
    assert_ne!(one, other);
}

#[test]
fn the_last_piece_ends_with_the_content_and_no_offset_overflows() {
    let whole = At::new(Arc::new(source(i64::MAX as u64, None, None)), false);
    let last = At::piece_of(i64::MAX as u64 - 1).0;
    let wanted = whole.wanted(last);
    assert_eq!(wanted.start + wanted.length, i64::MAX as u64);
    assert_eq!(at(0, None, None).wanted(0).length, 0);
}
