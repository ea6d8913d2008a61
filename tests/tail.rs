//! `tail -f` and `tail -F` on a file that an event says to have changed: what was appended shows, once, as
//! root and as an ordinary user; what is replaced does not.

#![cfg(target_os = "linux")]

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::fuse::{MountOptions, mount};
use omnifs_support::{Omnifs, program, skip, tied, user, wait_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(60);
const LINES: usize = 40;

struct Tail {
    child: Child,
    output: PathBuf,
}

impl Tail {
    fn start(how: &str, path: &Path, room: &Path) -> Tail {
        let output = room.join(format!("output{how}"));
        let mut command = Command::new("tail");
        command.args(["-n", "+1", how]).arg(path).stdout(File::create(&output).expect("a file"));
        Tail { child: tied::spawn(command).expect("tail"), output }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).expect("text without a hole")
    }

    fn is_to_say(&self, text: &str, what: &str) {
        let said = wait_until(SOON, || (self.said().len() >= text.len()).then_some(()));
        assert!(said.is_some() && self.said() == text, "{what}: {:?}", self.said());
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        tied::stop(&mut self.child, Duration::from_secs(5));
    }
}

fn follow(options: &MountOptions) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let upstream = Memory::new(Style::default());
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let router = Router::new(vec![instance]);
    let runtime = Runtime::new(router, Capacity::default(), epoch, tokio.handle().clone());
    runtime.up("m", SCOPE);
    // Longer than a page, so that there is one to keep and one to drop.
    let mut text = "a line that was there\n".repeat(250);
    upstream.file(ROOT, "f", "f", text.as_bytes());
    let room = tempfile::tempdir().expect("a directory");
    let point = room.path().join("mount");
    fs::create_dir(&point).expect("a mount point");
    let mounted = mount(runtime.clone(), &point, options, tokio.handle()).expect("mount");
    let path = point.join("m/f");
    let tails = ["-f", "-F"].map(|how| Tail::start(how, &path, room.path()));
    let how = format!("{options:?}");
    for tail in &tails {
        tail.is_to_say(&text, &how);
    }
    let set = |upstream: &Arc<Memory>, text: &str| {
        runtime.apply("m", &upstream.set("f", text.as_bytes()));
    };
    for line in 0..LINES {
        text.push_str(&format!("line {line}\n"));
        set(&upstream, &text);
        // Some of them in a row, some read by everybody before the next comes.
        if line % 8 == 0 {
            for tail in &tails {
                tail.is_to_say(&text, &how);
            }
            assert_eq!(fs::read_to_string(&path).expect("by its path"), text);
        }
    }
    for tail in &tails {
        tail.is_to_say(&text, &how);
    }
    // What is replaced is another file to who has this one open, and shows by its path.
    let other = "something else altogether\n".repeat(500);
    set(&upstream, &other);
    let shown = || (fs::read_to_string(&path).ok()? == other).then_some(());
    assert!(wait_until(SOON, shown).is_some(), "{how}");
    for tail in &tails {
        assert_eq!(tail.said(), text, "{how}");
    }
    drop(tails);
    drop(mounted);
}

#[test]
fn each_appended_line_shows_once_to_who_follows_a_file_that_grows_by_events() {
    let test = "each_appended_line_shows_once_to_who_follows_a_file_that_grows_by_events";
    let missing = program("tail").is_none().then(|| "tail is not installed".to_owned());
    if let Some(reason) = Omnifs::unavailable().or(missing) {
        return skip(test, &reason);
    }
    let watched = MountOptions { watch_events: true, ..MountOptions::default() };
    if user::is_ordinary(test) {
        follow(&watched);
        // The kernel asks before each open, so that nobody writes.
        if !omnifs_platform::fuse::user_allow_other() {
            return skip(test, "this user may not let others in");
        }
        return follow(&MountOptions { allow_other: true, ..watched });
    }
    follow(&watched);
    // Without events it looks once a second.
    follow(&MountOptions::default());
}
