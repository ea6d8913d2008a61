//! Packs that no git would make.

use super::{Maker, append, read};
use crate::pack::Limits;
use crate::{Error, Format, Kind, Oid};

fn blob(content: &[u8]) -> Oid {
    Format::Sha1.id(Kind::Blob, content).unwrap()
}

fn error(maker: &Maker, limits: Limits) -> Error {
    read(&maker.pack(), Format::Sha1, &limits).expect_err("a hostile pack was read")
}

#[test]
fn an_object_that_says_it_is_huge_is_refused_before_anything_is_made() {
    for size in [49 << 20, usize::MAX >> 8] {
        let mut maker = Maker::default();
        maker.entry(3, &[], size, b"x");
        assert_eq!(error(&maker, Limits::default()), Error::TooLarge("an object"));
    }
    // A delta says so too.
    let mut maker = Maker::default();
    let base = maker.blob(b"x");
    maker.against(base, &[1, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, b'y']);
    assert_eq!(error(&maker, Limits::default()), Error::TooLarge("an object"));
}

#[test]
fn a_stream_that_is_shorter_or_longer_than_its_size_is_damage() {
    for (size, content) in [(2, &b"x"[..]), (1, b"xy"), (0, b"x"), (1, b"")] {
        let mut maker = Maker::default();
        maker.entry(3, &[], size, content);
        assert!(matches!(error(&maker, Limits::default()), Error::Damaged(_)), "{size}");
    }
}

#[test]
fn what_inflates_to_more_than_all_may_take_is_refused() {
    let mut maker = Maker::default();
    for _ in 0..40 {
        maker.blob(&vec![0; 1 << 20]);
    }
    assert!(maker.pack().len() < 64 << 10, "a bomb is small");
    let limits = Limits { work: 20 << 20, ..Limits::default() };
    assert_eq!(error(&maker, limits), Error::TooLarge("all objects of a pack"));
}

#[test]
fn more_objects_than_there_may_be_are_refused_and_a_number_that_is_too_high_takes_no_room() {
    let mut maker = Maker::default();
    maker.blob(b"x");
    let limits = Limits { objects: 0, ..Limits::default() };
    assert_eq!(error(&maker, limits), Error::TooLarge("the number of objects in a pack"));
    maker.count = 300_000;
    assert!(matches!(error(&maker, Limits::default()), Error::Damaged(_)));
}

#[test]
fn deltas_that_are_bases_of_each_other_or_of_nothing_are_damage() {
    let (one, other) = (blob(b"one"), blob(b"other"));
    let mut maker = Maker::default();
    maker.against_named(&one, &append(3, b"x"));
    maker.against_named(&other, &append(5, b"x"));
    assert_eq!(
        error(&maker, Limits::default()),
        Error::Damaged("a delta's base is not in the pack")
    );

    let mut maker = Maker::default();
    let at = maker.blob(b"one");
    // Into the middle of an entry, before the pack, and itself.
    for wrong in [at + 1, 0] {
        let mut maker = Maker { bytes: maker.bytes.clone(), ..maker };
        maker.against(wrong, &append(3, b"x"));
        assert_eq!(error(&maker, Limits::default()), Error::Damaged("a delta's base is no object"));
    }
    let mut maker = Maker::default();
    maker.entry(6, &[0], 1, b"x");
    assert_eq!(error(&maker, Limits::default()), Error::Damaged("a delta's base is no object"));
}

#[test]
fn a_delta_that_does_not_fit_is_damage() {
    let good = append(3, b"more");
    let mut cases: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    cases.push(append(4, b"for another base"));
    cases.push(vec![3, 1, 0]);
    // Copies from beyond the end, and as much as a size of nothing stands for.
    cases.push(vec![3, 1, 0x81 | 0x10, 3, 1]);
    cases.push(vec![3, 1, 0x80]);
    cases.push(vec![3, 0, 1, b'x']);
    for delta in cases {
        let mut maker = Maker::default();
        let base = maker.blob(b"one");
        maker.against(base, &delta);
        assert!(matches!(error(&maker, Limits::default()), Error::Damaged(_)), "{delta:?}");
    }
}

#[test]
fn a_chain_of_four_thousand_deltas_is_read_and_holds_two_objects_at_a_time() {
    let mut maker = Maker::default();
    let mut content = b"start".to_vec();
    let mut at = maker.blob(&content);
    for step in 0..4_000_u32 {
        let more = step.to_be_bytes();
        at = maker.against(at, &append(content.len(), &more[2..]));
        content.extend_from_slice(&more[2..]);
    }
    let limits = Limits { bases: 64 << 10, ..Limits::default() };
    let objects = read(&maker.pack(), Format::Sha1, &limits).unwrap();
    assert_eq!(objects.len(), 4_001);
    assert_eq!(objects[&blob(&content).to_string()].1, content);
}

#[test]
fn bases_that_find_no_room_are_made_again() {
    // A chain in which each object is the base of two, so that each is needed again at the end.
    let mut maker = Maker::default();
    let mut expected = vec![b"start".to_vec()];
    let mut at = maker.blob(&expected[0]);
    for step in 0..200_u8 {
        let base = expected[2 * usize::from(step)].clone();
        maker.against(at, &append(base.len(), b"leaf"));
        at = maker.against(at, &append(base.len(), &[step]));
        expected.push([&base[..], b"leaf"].concat());
        expected.push([&base[..], &[step]].concat());
    }
    let limits = Limits { bases: 0, ..Limits::default() };
    let objects = read(&maker.pack(), Format::Sha1, &limits).unwrap();
    for content in &expected {
        assert_eq!(&objects[&blob(content).to_string()].1, content);
    }
    let little = Limits { bases: 0, work: 100 << 10, ..Limits::default() };
    assert_eq!(error(&maker, little), Error::TooLarge("all objects of a pack"));
}

#[test]
fn an_empty_object_and_a_pack_of_nothing_are_read() {
    let mut maker = Maker::default();
    assert_eq!(read(&maker.pack(), Format::Sha1, &Limits::default()).unwrap().len(), 0);
    maker.blob(b"");
    let objects = read(&maker.pack(), Format::Sha1, &Limits::default()).unwrap();
    assert_eq!(objects["e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"], (Kind::Blob, vec![]));
}
