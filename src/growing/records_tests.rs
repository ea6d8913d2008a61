use super::*;
use crate::provider::{Method, Request, Since};

fn frames(shown: &[u8], hidden: &[u8]) -> Growing {
    let framing = Framing::Frames(Frames {
        header: 8,
        number_at: 0,
        length_at: 4,
        shown: shown.to_vec(),
        hidden: hidden.to_vec(),
        error: Some(3),
        unframed: 1,
    });
    let request = Request {
        endpoint: "e".into(),
        method: Method::Get,
        path: "/log".into(),
        headers: Vec::new(),
        body: None,
    };
    Growing { request, framing, timed: true, since: Some(Since::seconds("since")) }
}

fn both() -> Records {
    Records::new(&frames(&[0, 1, 2], &[]))
}

fn frame(number: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![number, 0, 0, 0];
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload.as_bytes());
    frame
}

/// A time with nanoseconds, as most engines write them.
fn at(nanoseconds: u32) -> String {
    format!("2026-01-02T03:04:05.{nanoseconds:09}Z ")
}

fn shown(records: &mut Records, input: &[Vec<u8>]) -> String {
    let mut out = Vec::new();
    for chunk in input {
        records.push(chunk, &mut out).expect("readable");
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn frames_are_taken_apart_wherever_the_bytes_are_cut() {
    let whole =
        [frame(1, &format!("{}one\n", at(1))), frame(2, &format!("{}two\n", at(2)))].concat();
    let expected = format!("{}one\n{}two\n", at(1), at(2));
    for size in 1..whole.len() {
        let chunks: Vec<_> = whole.chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(shown(&mut both(), &chunks), expected, "in chunks of {size}");
    }
}

#[test]
fn a_stream_that_is_not_shown_is_left_out() {
    let mut records = Records::new(&frames(&[2], &[0, 1]));
    let input = [frame(1, &format!("{}out\n", at(1))), frame(2, &format!("{}err\n", at(2)))];
    assert_eq!(shown(&mut records, &input), format!("{}err\n", at(2)));
}

#[test]
fn a_line_in_several_records_has_one_time() {
    let (long, end) = ("x".repeat(16_384), "x".repeat(7_232));
    let pieces =
        [&long, &long, &format!("{end}\n")].map(|piece| frame(1, &format!("{}{piece}", at(1))));
    let next = frame(1, &format!("{}next\n", at(2)));
    let found = shown(&mut both(), &[pieces.concat(), next]);
    assert_eq!(found, format!("{}{}\n{}next\n", at(1), "x".repeat(40_000), at(2)));
}

#[test]
fn pieces_with_whole_seconds_are_one_line_though_their_times_differ() {
    let second = |second| format!("2026-01-02T03:04:{second:02}Z ");
    let input = [(5, "abc"), (7, "def"), (8, "\n"), (8, "x\n"), (8, "x\n")];
    let input = input.map(|(at, text)| frame(1, &format!("{}{text}", second(at))));
    let expected = format!("{}abcdef\n{}x\n{}x\n", second(5), second(8), second(8));
    assert_eq!(shown(&mut both(), &input), expected);
}

#[test]
fn the_line_of_one_stream_is_not_cut_by_anothers() {
    let input = [
        frame(2, &format!("{}begun ", at(1))),
        frame(1, &format!("{}other\n", at(2))),
        frame(2, &format!("{}ended\n", at(1))),
    ];
    let expected = format!("{}begun ended\n{}other\n", at(1), at(2));
    assert_eq!(shown(&mut both(), &input), expected);
}

#[test]
fn what_waits_for_a_line_that_does_not_end_is_shown_after_a_while() {
    let mut records = both();
    let input = [frame(2, &format!("{}begun", at(1))), frame(1, &format!("{}other\n", at(2)))];
    assert_eq!(shown(&mut records, &input), format!("{}begun", at(1)));
    let mut out = Vec::new();
    records.settle(&mut out);
    assert_eq!(String::from_utf8(out).expect("text"), format!("\n{}other\n", at(2)));
}

#[test]
fn a_lost_end_of_a_line_is_made_up_for() {
    let input = [frame(1, &format!("{}long", at(1))), frame(1, &format!("{}next\n", at(2)))];
    assert_eq!(shown(&mut both(), &input), format!("{}long\n{}next\n", at(1), at(2)));
}

#[test]
fn what_is_read_again_after_a_rotation_is_shown_once() {
    let line = |n: u32| frame(1, &format!("{}line {n}\n", at(n)));
    let order = (0..60).chain(20..90).chain([89]).chain(85..100);
    let input: Vec<_> = order.map(line).collect();
    let expected: String = (0..100).map(|n| format!("{}line {n}\n", at(n))).collect();
    assert_eq!(shown(&mut both(), &input), expected);
}

#[test]
fn a_clock_that_is_set_back_loses_no_line() {
    let input = [9, 10, 3, 4].map(|n| frame(1, &format!("{}line {n}\n", at(n))));
    let expected: String = [9, 10, 3, 4].map(|n| format!("{}line {n}\n", at(n))).concat();
    let mut records = both();
    assert_eq!(shown(&mut records, &input), expected);
    assert_eq!(records.since().as_deref(), Some("1767323045.000000004"));
    records.stream.since = Some(Since { parameter: "at".to_owned(), form: TimeForm::Rfc3339 });
    assert_eq!(records.since().as_deref(), Some("2026-01-02T03:04:05.000000004Z"));
}

#[test]
fn a_reconnection_goes_on_after_what_was_shown() {
    let mut records = both();
    let second = |text: &str| frame(1, &format!("2026-01-02T03:04:05Z {text}\n"));
    let first = shown(&mut records, &[second("same"), second("same"), second("last")]);
    assert_eq!(first.lines().count(), 3);
    assert_eq!(records.since().as_deref(), Some("1767323045.000000000"));
    records.reconnected();
    // The service begins with every record of that second, and has one more of them.
    let again = [second("same"), second("same"), second("last"), second("same")];
    assert_eq!(shown(&mut records, &again), "2026-01-02T03:04:05Z same\n");
    records.reconnected();
    let again = [second("same"), second("same"), second("last"), second("same"), second("end")];
    assert_eq!(shown(&mut records, &again), "2026-01-02T03:04:05Z end\n");
}

#[test]
fn a_terminals_log_has_no_frames_and_one_time_a_line() {
    let long = format!("{}{}{}{}\r\n", at(1), "y".repeat(16_384), at(1), "y".repeat(10));
    let mut records = both();
    let found = shown(&mut records, &[long.into_bytes(), format!("{}$ ", at(2)).into_bytes()]);
    assert_eq!(found, format!("{}{}\r\n", at(1), "y".repeat(16_394)));
    let mut out = Vec::new();
    records.settle(&mut out);
    assert_eq!(String::from_utf8(out).expect("text"), format!("{}$ ", at(2)));
    assert_eq!(shown(&mut records, &[b"ls\r\n".to_vec()]), "ls\r\n");
    let mut errors = Records::new(&frames(&[2], &[0, 1]));
    assert_eq!(shown(&mut errors, &[format!("{}x\r\n", at(1)).into_bytes()]), "");
}

#[test]
fn the_services_own_error_ends_the_stream() {
    let mut out = Vec::new();
    let mut records = both();
    records.push(&frame(1, &format!("{}x\n", at(1))), &mut out).expect("readable");
    let broken = records.push(&frame(3, "no such file\n"), &mut out);
    assert_eq!(broken, Err(Broken::Said("no such file".into())));
    assert_eq!(out, format!("{}x\n", at(1)).into_bytes());
    let mut huge = vec![1, 0, 0, 0];
    huge.extend(u32::MAX.to_be_bytes());
    let broken = both().push(&huge, &mut out);
    assert!(matches!(broken, Err(Broken::Unreadable(_))), "{broken:?}");
}

#[test]
fn without_times_a_reconnection_leaves_out_as_many_bytes_as_were_shown() {
    let plain = Growing { framing: Framing::Plain, timed: false, since: None, ..frames(&[], &[]) };
    let mut records = Records::new(&plain);
    assert_eq!(shown(&mut records, &[b"one\ntw".to_vec()]), "one\ntw");
    records.reconnected();
    assert_eq!(shown(&mut records, &[b"on".to_vec(), b"e\ntwo\n".to_vec()]), "o\n");
    assert_eq!(records.since(), None);
}
