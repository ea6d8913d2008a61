//! Messages that are nearly right, without end: each is a good call, bent in ways that a parser has to
//! survive. `OMNIFS_FUZZ_SECONDS=600 cargo test -p omnifs-platform --test nfs fuzz` runs it for ten
//! minutes; otherwise it runs for two seconds. `OMNIFS_FUZZ_SEED` takes another course.

use crate::client::{Client, auth, fh, packed};
use crate::fixture::{Fixture, OWNER};
use nfs3_types::mount;
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Opaque;
use omnifs_platform::memory::{New, ROOT};
use std::io::Write;
use std::time::{Duration, Instant};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Good calls of every procedure on every kind of object.
fn seeds(client: &mut Client, root: &[u8], export: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let handles = ["d", "d/f", "d/tool", "d/link", "d/log"].map(|path| client.walk(root, path));
    for handle in handles.iter().map(Vec::as_slice).chain([root]) {
        let object = packed(&GETATTR3args { object: fh(handle) });
        let name = packed(&filename3(b"f".as_slice().into()));
        let word = |value: u32| value.to_be_bytes();
        let more: [&[u8]; 22] = [
            &[],
            &[],
            &[0; 28],
            &name,
            &word(63),
            &[],
            &[0; 12],
            &[0; 20],
            &name,
            &name,
            &name,
            &name,
            &name,
            &name,
            &name,
            &object,
            &[0; 20],
            &[0; 24],
            &[],
            &[],
            &[],
            &[0; 12],
        ];
        for (procedure, rest) in more.into_iter().enumerate() {
            let mut args = if procedure == 0 { vec![] } else { [&object[..], rest].concat() };
            match procedure {
                6 | 16 | 17 => {
                    // Counts that lead to an answer.
                    let at = args.len() - 4;
                    args[at..].copy_from_slice(&word(4096));
                    if procedure == 17 {
                        args[at - 4..at].copy_from_slice(&word(4096));
                    }
                }
                _ => {}
            }
            seeds.push(client.message(PROGRAM, procedure as u32, &args));
        }
    }
    let path = packed(&mount::dirpath(Opaque::borrowed(export.as_bytes())));
    for procedure in 0..6 {
        let args: &[u8] = if procedure % 2 == 1 && procedure < 5 { &path } else { &[] };
        seeds.push(client.message(mount::PROGRAM, procedure, args));
    }
    seeds
}

const WORDS: [u32; 17] =
    [0, 1, 2, 3, 16, 17, 44, 63, 64, 65, 255, 256, 400, 401, 1 << 20, u32::MAX >> 1, u32::MAX];

fn bend(message: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(3) {
        if message.is_empty() {
            return;
        }
        let at = random.below(message.len());
        match random.below(8) {
            0 => message[at] = random.next() as u8,
            1 => message[at] ^= 1 << random.below(8),
            // A word, where lengths, numbers and flavours stand.
            2 | 3 => {
                let at = at / 4 * 4;
                if let Some(word) = message.get_mut(at..at + 4) {
                    word.copy_from_slice(&WORDS[random.below(WORDS.len())].to_be_bytes());
                }
            }
            4 => message.truncate(at),
            5 => {
                let count = random.below(200);
                message.extend((0..count).map(|_| random.next() as u8));
            }
            // Another message's end.
            6 => {
                let other = &seeds[random.below(seeds.len())];
                message.truncate(at);
                message.extend(&other[random.below(other.len())..]);
            }
            // A part of it twice.
            _ => {
                let part = message[at..].to_vec();
                message.extend(part);
            }
        }
    }
    message.truncate(100_000);
}

/// Sends it in one way or another; whether an answer is to be expected.
fn send(client: &mut Client, message: &[u8], random: &mut Random) -> std::io::Result<bool> {
    match random.below(10) {
        0 => {
            // In fragments.
            let cut = random.below(message.len().max(2) - 1) + 1;
            let (first, last) = message.split_at(cut.min(message.len()));
            let mark = |part: &[u8], last: u32| (part.len() as u32 | last << 31).to_be_bytes();
            let stream = [&mark(first, 0)[..], first, &mark(last, 1), last].concat();
            client.stream.write_all(&stream)?;
            Ok(true)
        }
        1 => {
            // A mark that says anything, and then no more.
            let mark = (random.next() as u32).to_be_bytes();
            client.stream.write_all(&[&mark, message].concat())?;
            client.stream.shutdown(std::net::Shutdown::Write)?;
            Ok(false)
        }
        _ => {
            client.send(message)?;
            Ok(true)
        }
    }
}

#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[cfg(not(target_os = "linux"))]
fn resident() -> u64 {
    0
}

#[test]
fn bent_messages_are_answered_or_closed_on_and_cost_no_memory() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    memory.add(directory, "f", New::file("content\n".repeat(1000))).unwrap();
    memory.add(directory, "tool", New::Executable("#!/bin/sh\n".into())).unwrap();
    memory.add(directory, "link", New::Symlink("f".into())).unwrap();
    memory.add(directory, "log", New::volatile("line\n")).unwrap();
    for index in 0..100 {
        memory.add(directory, &format!("{index}"), New::file("x")).unwrap();
    }
    let (mut client, root) = fixture.mounted();
    let seeds = seeds(&mut client, &root, &fixture.server().export());
    let mut random = Random(given("OMNIFS_FUZZ_SEED").unwrap_or(1));
    let until = Instant::now() + Duration::from_secs(given("OMNIFS_FUZZ_SECONDS").unwrap_or(2));
    let (mut rounds, mut answered, mut closed) = (0_u64, 0_u64, 0_u64);
    let mut settled = None;
    while Instant::now() < until {
        rounds += 1;
        let mut message = seeds[random.below(seeds.len())].clone();
        if random.below(20) > 0 {
            bend(&mut message, &seeds, &mut random);
        }
        let replied = match send(&mut client, &message, &mut random) {
            Ok(true) if !message.is_empty() => match client.receive() {
                Ok(reply) => {
                    assert_eq!(reply[..4], message[..4], "the answer to another call");
                    assert_eq!(reply[4..8], [0, 0, 0, 1], "no reply");
                    assert!(reply.len() < 300_000);
                    true
                }
                Err(error) => {
                    let late = error.kind() == std::io::ErrorKind::WouldBlock;
                    assert!(!late, "neither answered nor closed: {message:?}");
                    false
                }
            },
            _ => false,
        };
        if replied {
            answered += 1;
        } else {
            closed += 1;
            client = fixture.client();
        }
        if rounds % 2000 == 0 {
            let (mut good, root) = fixture.mounted();
            let file = good.walk(&root, "d/f");
            assert_eq!(good.read(&file, 0, 8).unwrap().0, b"content\n");
            assert!(fixture.server().connections() < 50);
            assert!(memory.references() < 300 && memory.open_count() < 20);
            let grown = resident().saturating_sub(*settled.get_or_insert_with(resident));
            assert!(grown < 64 << 20, "{grown} bytes more after {rounds} messages");
            client.auth = auth(OWNER);
        }
    }
    println!("{rounds} messages: {answered} answered, {closed} connections closed");
    assert!(answered > 100 && closed > 10);
}
