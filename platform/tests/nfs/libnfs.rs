//! libnfs's programs, which speak the protocol without a kernel, and what Wireshark makes of it.

use crate::fixture::{Fixture, possible};
use omnifs_platform::conformance::tree::{self, Expected};
use omnifs_platform::memory::Memory;
use std::process::{Command, Output};

fn url(fixture: &Fixture, path: &str) -> String {
    let (port, export) = (fixture.server().port(), fixture.server().export());
    let uid = crate::fixture::OWNER;
    // The file's name is taken off the path, and what is before it is mounted.
    format!("nfs://127.0.0.1{export}/{path}?nfsport={port}&mountport={port}&uid={uid}&gid={uid}")
}

fn run(program: &str, url: &str) -> Option<Output> {
    let output = Command::new(program).arg(url).output();
    possible(output.is_ok(), &format!("{program} is not installed (libnfs-utils)"));
    output.ok()
}

#[test]
fn libnfs_lists_and_reads_the_standard_tree() {
    let memory = Memory::new();
    tree::plant(&memory).unwrap();
    let fixture = Fixture::with(memory, crate::fixture::OWNER);
    let Some(listed) = run("nfs-ls", &url(&fixture, "files")) else { return };
    let said = String::from_utf8_lossy(&listed.stdout).into_owned();
    let (mut read, mut files) = (0, 0);
    for (path, expected) in tree::standard() {
        let (Some(name), Expected::File(content)) = (path.strip_prefix("files/"), expected) else {
            continue;
        };
        files += 1;
        let line = said.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        assert!(line.contains(&format!(" {} ", content.len())), "{line}");
        if content.len() < 300_000 {
            let output = run("nfs-cat", &url(&fixture, &path)).unwrap();
            assert!(output.stdout == content, "{path}: {output:?}");
            read += 1;
        }
    }
    assert!(files > 10 && read > 8);
    let wide = run("nfs-ls", &url(&fixture, "wide")).unwrap();
    assert_eq!(String::from_utf8_lossy(&wide.stdout).lines().count(), tree::WIDE);
}
