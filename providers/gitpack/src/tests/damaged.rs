//! Packs and answers with bytes that are others.

use super::{Maker, append, sum};
use crate::{Format, Kind, fuzzing};

/// xorshift64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn sample() -> Maker {
    let mut maker = Maker::default();
    let text = "a line of text\n".repeat(40);
    let base = maker.blob(text.as_bytes());
    let id = Format::Sha1.id(Kind::Blob, text.as_bytes()).unwrap();
    let next = maker.against(base, &append(text.len(), b"more"));
    maker.against(next, &append(text.len() + 4, b"and more"));
    maker.against_named(&id, &append(text.len(), b"other"));
    maker.entry(1, &[], 6, b"tree x");
    maker.entry(2, &[], 3, b"100");
    maker.entry(4, &[], 6, b"object");
    maker
}

#[test]
fn a_pack_whose_bytes_are_changed_cut_or_doubled_is_an_error_at_worst() {
    let whole = sample().pack();
    let body = &whole[..whole.len() - 20];
    let mut random = Random(0x5eed);
    for _ in 0..4_000 {
        let mut bytes = body.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at + 1),
                _ => {
                    let part = bytes[at..(at + 9).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        fuzzing::read(&bytes);
    }
}

#[test]
fn every_pack_that_ends_early_is_an_error() {
    let whole = sample().pack();
    for end in 0..whole.len() {
        let limits = Default::default();
        assert!(super::read(&whole[..end], Format::Sha1, &limits).is_err(), "{end}");
        if end < whole.len() - 20 {
            let cut = sum(whole[..end].to_vec());
            assert!(super::read(&cut, Format::Sha1, &limits).is_err(), "{end}");
        }
    }
}

#[test]
fn the_fuzz_target_takes_its_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/pack");
    let inputs = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
    let taken = inputs.map(|input| fuzzing::read(&std::fs::read(input).unwrap())).count();
    assert!(taken > 5);
}
