//! What omnifs keeps on disk is damaged at random: a mount starts all the same, shows what is right, and
//! makes anew what it cannot use.

use crate::{SOON, available, home_of, setup, title, title_path};
use omnifs_support::{Omnifs, wait_until};
use omnifs_twins::GithubTwin;
use std::fs;
use std::path::{Path, PathBuf};

/// splitmix64: the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// The bytes, cut, or with some of them flipped, or with others in place of them or behind them.
    fn damage(&mut self, mut bytes: Vec<u8>) -> (&'static str, Vec<u8>) {
        let random: Vec<u8> = (0..self.below(500)).map(|_| self.next() as u8).collect();
        match self.below(5) {
            0 => ("emptied", Vec::new()),
            1 => {
                bytes.truncate(self.below(bytes.len()));
                ("cut", bytes)
            }
            2 => {
                bytes.extend(random);
                ("lengthened", bytes)
            }
            3 => ("replaced", random),
            _ => {
                for _ in 0..=self.below(3) {
                    let at = self.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                ("flipped", bytes)
            }
        }
    }
}

/// Everything that is kept. Sockets are no files.
fn kept(omnifs: &Omnifs) -> Vec<PathBuf> {
    ["cache", "state"].iter().flat_map(|name| crate::files(&omnifs.path(name))).collect()
}

fn is_artifact(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "bin")
}

/// `OMNIFS_FAULT_ROUNDS` and `OMNIFS_FAULT_SEED` make it longer, and another run.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn whatever_becomes_of_the_files_that_are_kept_a_mount_starts_and_shows_what_is_right() {
    if !available("damaged_files") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 20)).expect("a twin");
    let omnifs = home_of(&twin, "");
    omnifs.mount::<&str>(&[]).expect("mount").kill();
    let (mut dice, mut made_anew) = (Dice(number("OMNIFS_FAULT_SEED", 1)), 0);
    for round in 0..number("OMNIFS_FAULT_ROUNDS", 6) {
        let mut done = Vec::new();
        let mut artifacts = 0;
        for path in kept(&omnifs) {
            if dice.below(3) == 0 {
                continue;
            }
            let bytes = fs::read(&path).expect("it is kept");
            let (how, damaged) = dice.damage(bytes.clone());
            artifacts += usize::from(is_artifact(&path) && damaged != bytes);
            fs::write(&path, damaged).expect("written");
            done.push((path, how));
        }
        let case = format!("round {round}: {done:?}");
        // These look at records and logs of mounts that are gone.
        for command in ["status", "logs"] {
            let ran = omnifs.run(&[command]).expect("it ends");
            assert!(ran.status.code().is_some_and(|code| code < 100), "{case}: {command}");
            assert!(!ran.stderr.contains("panicked"), "{case}: {command}: {}", ran.stderr);
            let raw = |c: char| c.is_control() && c != '\n';
            assert!(!ran.stdout.contains(raw), "{case}: {command}: {:?}", ran.stdout);
        }
        let mounted = match omnifs.mount::<&str>(&[]) {
            Ok(mounted) => mounted,
            Err(error) => panic!("{case}: {error}"),
        };
        for number in [1, 7, 20] {
            let text = fs::read_to_string(title_path(mounted.path(), number));
            assert_eq!(text.expect("read"), title(&twin, number), "{case}");
        }
        // A component is loaded at its first use.
        assert_eq!(mounted.log().matches("is damaged").count(), artifacts, "{case}");
        made_anew += artifacts;
        let status = mounted.status().expect("the new record is whole");
        assert_eq!(status["mount"]["pid"], mounted.pid(), "{case}");
        // Every other time it leaves its record and its socket behind.
        if dice.below(2) == 0 {
            mounted.kill();
        } else {
            assert!(mounted.unmount(), "{case}");
        }
    }
    assert!(made_anew > 0, "no artifact was damaged");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    assert!(!mounted.log().contains("damaged"), "it was made anew: {}", mounted.log());
}

#[test]
fn the_record_of_a_mount_that_lives_is_written_again_when_it_is_damaged_or_removed() {
    if !available("damaged_record") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 5)).expect("a twin");
    let omnifs = home_of(&twin, "");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let directory = omnifs.path("state/omnifs/mounts");
    let is_record = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let record = crate::files(&directory).into_iter().find(is_record).expect("a record");
    let whole = fs::read(&record).expect("a record");
    for damage in [Some(&whole[..whole.len() / 2]), Some(b"{}"), None] {
        match damage {
            Some(bytes) => fs::write(&record, bytes).expect("written"),
            None => fs::remove_file(&record).expect("removed"),
        }
        let again = || (fs::read(&record).ok()? == whole).then_some(());
        assert!(wait_until(SOON, again).is_some(), "{:?}", fs::read_to_string(&record));
        assert_eq!(mounted.status().expect("status")["mount"]["pid"], mounted.pid());
    }
    assert!(mounted.unmount());
    assert!(!record.exists());
}
