//! `omnifs dev`: a project that `omnifs init` has made, in a real mount, while its sources change.
#![cfg(target_os = "linux")]

mod cli;

use cli::Home;
use omnifs_support::mount::is_mounted;
use omnifs_support::pty::Pty;
use omnifs_support::{Omnifs, program, skip, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// For cargo, on a busy machine.
const LONG: Duration = Duration::from_secs(900);

/// Why a component cannot be built here.
fn unbuildable() -> Option<String> {
    if program("cargo").is_none() {
        return Some("cargo is not on the path".into());
    }
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]);
    let output = rustc.output().ok()?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!Path::new(&library).is_dir()).then(|| "Rust has no target wasm32-wasip2".into())
}

/// Its root shows one file, whose text is in the source.
fn project(home: &Home, text: &str) -> PathBuf {
    home.run(["init", "notes", "--sdk", &cli::sdk()]).works();
    let project = home.path("notes");
    cli::lock(&project);
    let root = "Id::Root => open_ended((), |()| list(), |(), name| named(name)),";
    let shown = format!(
        "Id::Root => fixed([(\"note.txt\", Id::Note)]),\n            \
         Id::Note => file(|| Ok(scalar(\"{text}\"))),"
    );
    let item = "Item(key: String) = \"item\",";
    let note = format!("{item}\n        Note = \"note\",");
    edit(&project, &[(item, &note), (root, &shown)]);
    project
}

/// All of it at once, so that nobody builds what is half edited.
fn edit(project: &Path, changes: &[(&str, &str)]) {
    let file = project.join("src/lib.rs");
    let mut source = cli::text(&file);
    for (old, new) in changes {
        assert!(source.contains(old), "{old} is not in {source}");
        source = source.replace(old, new);
    }
    let fresh = project.join("lib.rs");
    fs::write(&fresh, source).unwrap();
    fs::rename(fresh, file).unwrap();
}

/// `omnifs dev`, with this machine's cargo.
fn dev(home: &Home, arguments: &[&str]) -> Command {
    let target = cli::guest_target();
    fs::create_dir_all(&target).unwrap();
    // Whoever runs the tests may have it open to a group.
    let trusted = ["--trust-path", target.to_str().unwrap()];
    let mut command = home.command([&["dev"], arguments, &trusted].concat());
    let own = std::env::var("HOME").unwrap();
    command.env("HOME", own).env("CARGO_TARGET_DIR", &target).env("CARGO_NET_OFFLINE", "true");
    command
}

struct Dev {
    child: Child,
    events: Receiver<Value>,
}

impl Dev {
    fn start(mut command: Command) -> Dev {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (told, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
                if told.send(event).is_err() {
                    return;
                }
            }
        });
        Dev { child, events }
    }

    /// The next event, which is of this kind.
    #[track_caller]
    fn next(&self, kind: &str) -> Value {
        let event = self.events.recv_timeout(LONG).expect("an event");
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// Its exit code.
    fn end(mut self) -> Option<i32> {
        interrupt(self.child.id());
        wait_until(LONG, || self.child.try_wait().unwrap())?.code()
    }
}

fn interrupt(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

/// What a directory that is open shows under this name.
fn through(directory: &File, name: &str) -> String {
    use rustix::fs::{Mode, OFlags, openat};
    let mut text = String::new();
    let file = openat(directory, name, OFlags::RDONLY, Mode::empty()).unwrap();
    File::from(file).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_change_of_a_source_shows_in_the_same_mount_under_the_same_inode() {
    let test = "a_change_of_a_source_shows_in_the_same_mount_under_the_same_inode";
    if let Some(reason) = Omnifs::unavailable().or_else(unbuildable) {
        return skip(test, &reason);
    }
    let home = Home::new();
    let project = project(&home, "one");
    let (mount, shown) = (project.join("mnt"), project.join("mnt/notes/note.txt"));
    let running = Dev::start(dev(&home, &["notes", "--yes", "--json"]));
    assert_eq!(running.next("mounted")["mountpoint"], mount.to_str().unwrap());
    assert_eq!(cli::text(&shown), "one\n");
    assert_eq!(
        fs::read_dir(&mount).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        1
    );
    let inode = fs::metadata(&shown).unwrap().ino();
    let directory = File::open(project.join("mnt/notes")).unwrap();

    edit(&project, &[("scalar(\"one\")", "scalar(\"two\")")]);
    running.next("swapped");
    assert_eq!(cli::text(&shown), "two\n");
    assert_eq!(through(&directory, "note.txt"), "two\n");
    assert_eq!(fs::metadata(&shown).unwrap().ino(), inode);

    // What does not build leaves the one before.
    edit(&project, &[("scalar(\"two\")", "scalar(missing)")]);
    let said = running.next("unbuilt");
    assert!(said["text"].as_str().unwrap().contains("cannot find value `missing`"), "{said}");
    assert_eq!(cli::text(&shown), "two\n");

    // And so does what asks for something that nobody has approved.
    edit(
        &project,
        &[("scalar(missing)", "scalar(\"three\")"), ("reads what is shown", "reads all")],
    );
    let said = running.next("refused");
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("+ endpoints.api.purpose = \"reads all\""), "{said}");
    drop(directory);
    assert_eq!(running.end(), Some(0));
    assert!(!is_mounted(&mount) && !mount.exists());

    // At a terminal it is asked about, at the start and where it changes.
    let mut pty = Pty::spawn(&mut dev(&home, &["notes"]), 100, 200).unwrap();
    let see = |pty: &Pty, part: &str| {
        let found = wait_until(LONG, || pty.contents().contains(part).then_some(()));
        assert!(found.is_some(), "{part}: {}", pty.contents());
    };
    see(&pty, "Grant this to the provider 'notes'? [y/N]");
    assert!(!is_mounted(&mount));
    pty.send("y\r");
    see(&pty, "Ctrl-C unmounts");
    assert_eq!(cli::text(&shown), "three\n");
    assert_eq!(fs::metadata(&shown).unwrap().ino(), inode);
    edit(&project, &[("scalar(\"three\")", "scalar(\"four\")"), ("reads all", "reads less")]);
    see(&pty, "Grant this? [y/N]");
    assert!(
        pty.contents().contains("+ endpoints.api.purpose = \"reads less\""),
        "{}",
        pty.contents()
    );
    assert_eq!(cli::text(&shown), "three\n");
    pty.send("y\r");
    see(&pty, "the new component runs");
    assert_eq!(cli::text(&shown), "four\n");
    interrupt(pty.pid());
    assert_eq!(pty.ended(), Some(0));
    assert!(!is_mounted(&mount) && !mount.exists());
}

#[test]
fn what_others_could_change_is_not_built_and_what_is_no_project_is_said() {
    let home = Home::new();
    home.run(["dev"]).fails(2, "it has no Cargo.toml", "omnifs init NAME");
    home.run(["dev", "none"]).fails(2, "none: ", "omnifs init NAME");
    let project = home.path("open");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("Cargo.toml"), "").unwrap();
    fs::set_permissions(&project, fs::Permissions::from_mode(0o777)).unwrap();
    home.run(["dev", "open"]).fails(1, "can be written by other users", "chmod go-w");
}
