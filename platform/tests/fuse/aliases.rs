//! One directory at two places, and files with several names.

use crate::fixture::Fixture;
use omnifs_platform::memory::{New, ROOT};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// `open/2853` and `all/number 2853` are one directory, with a file and directories in it.
fn fixture() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    let memory = &fixture.memory;
    let open = memory.add(ROOT, "open", New::Directory).unwrap();
    let all = memory.add(ROOT, "all", New::Directory).unwrap();
    for number in 0..20 {
        let object = memory.add(open, &format!("{number}"), New::Directory).unwrap();
        memory.link(all, &format!("number {number}"), object).unwrap();
        memory.add(object, "title", New::file(format!("title {number}\n"))).unwrap();
        let comments = memory.add(object, "comments", New::Directory).unwrap();
        for comment in 0..3 {
            memory.add(comments, &format!("{comment}.md"), New::file("said\n")).unwrap();
        }
    }
    Some(fixture)
}

fn shell(fixture: &Fixture, script: &str) -> String {
    let output =
        Command::new("sh").args(["-c", script]).current_dir(fixture.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{script}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pwd_stays_put_in_each_of_two_places_of_one_directory() {
    let Some(fixture) = fixture() else { return };
    let root = fixture.mounted.mountpoint().display().to_string();
    let said = shell(
        &fixture,
        "cd open/7 && /bin/pwd && (cd '../../all/number 7' && /bin/pwd && cat title) && /bin/pwd \
         && cd comments && (cd '../../../all/number 7/comments' && /bin/pwd) && /bin/pwd && ls ..",
    );
    let expected = format!(
        "{root}/open/7\n{root}/all/number 7\ntitle 7\n{root}/open/7\n\
         {root}/all/number 7/comments\n{root}/open/7/comments\ncomments\ntitle\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn both_places_show_one_inode_to_stat_ls_and_find() {
    let Some(fixture) = fixture() else { return };
    let inode = |below: &str| fs::metadata(fixture.path(below)).unwrap().ino();
    for round in 0..3 {
        assert_eq!(inode("open/3"), inode("all/number 3"), "round {round}");
        assert_eq!(inode("open/3/title"), inode("all/number 3/title"));
        let listed = shell(&fixture, "ls -li open all | grep -w 3 | awk '{print $1}'");
        let numbers: Vec<&str> = listed.lines().collect();
        assert_eq!(numbers.len(), 2, "{listed}");
        assert_eq!(numbers[0], numbers[1]);
        assert_eq!(numbers[0], inode("open/3").to_string());
        let found = shell(&fixture, &format!("find . -inum {} | sort", inode("open/3")));
        assert_eq!(found, "./all/number 3\n./open/3\n");
    }
}

#[test]
fn four_concurrent_finds_over_both_places_never_fail() {
    let Some(fixture) = fixture() else { return };
    let expected = shell(&fixture, "find . | sort");
    assert_eq!(expected.lines().count(), 3 + 2 * 20 * 6);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(shell(&fixture, "find . | sort"), expected);
                }
            });
        }
    });
}
