//! Prints what a call costs. It asserts nothing about time: the figure is for `cargo xtask bench`.

use crate::support::*;
use omnifs::provider::Provider;
use omnifs::wasm::{Component, Limits};
use std::time::Instant;

#[tokio::test]
async fn the_overhead_of_a_call_is_printed() {
    const ROUNDS: u32 = 5_000;
    let instance = hostile(Limits::default(), None).await;
    for (what, file) in [("read-file with 6 bytes", "hello"), ("a call that fails", "none")] {
        let once = async |_| match instance.read_file(file).await {
            Ok(answer) => assert_eq!(answer.value, "hello\n"),
            Err(failure) => assert_eq!(failure.detail, "there is no such object"),
        };
        for round in 0..ROUNDS / 10 {
            once(round).await;
        }
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let start = Instant::now();
            once(round).await;
            times.push(start.elapsed());
        }
        times.sort();
        let at = |part: u32| times[(ROUNDS * part / 100) as usize];
        println!("{what}, fresh instance: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    }
}

#[test]
fn the_time_to_load_a_component_is_printed() {
    let bytes = built("hostile");
    let cache = tempfile::tempdir().unwrap();
    for what in ["compiled", "from the cache", "from the cache again"] {
        let start = Instant::now();
        Component::load(&ENGINE, &bytes, "hostile", Some(cache.path())).unwrap();
        println!("{} KiB, {what}: {:?}", bytes.len() >> 10, start.elapsed());
    }
}
