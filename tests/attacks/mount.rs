//! What a service shows, in a real mount.

use omnifs_support::tools::list;
use omnifs_support::{home, provider};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_mount_is_nobodys_and_runs_nothing_unless_its_user_says_so() {
    let Some(omnifs) = home("a_mount_is_nobodys_and_runs_nothing_unless_its_user_says_so") else {
        return;
    };
    let line = |arguments: &[&str]| {
        let arguments: Vec<String> =
            provider("hello").into_iter().chain(arguments.iter().map(|a| (*a).into())).collect();
        let mounted = omnifs.mount(&arguments).expect("mount");
        for path in [mounted.path().to_owned(), mounted.join("hello")] {
            let found = fs::metadata(path).expect("stat");
            assert_ne!(found.uid(), rustix::process::geteuid().as_raw());
        }
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
        let point = format!(" {} ", mounted.path().display());
        table.lines().find(|line| line.contains(&point)).expect("the mount").to_owned()
    };
    assert!(line(&[]).contains("noexec"));
    assert!(!line(&["--exec"]).contains("noexec"));
}

#[test]
fn a_name_that_hides_something_or_that_git_would_open_is_not_shown() {
    let test = "a_name_that_hides_something_or_that_git_would_open_is_not_shown";
    let Some(omnifs) = home(test) else { return };
    let mounted = omnifs.mount(&provider("hostile")).expect("mount");
    for misdeed in ["direction-name", "invisible-name", "separator-name", "git-name"] {
        let error = list(&mounted.join("hostile").join(misdeed)).expect_err(misdeed);
        assert_eq!(error.raw_os_error(), Some(5), "{misdeed}");
        let status = mounted.status().expect("status");
        assert_eq!(status["errors"][0]["cause"], "invalid", "{misdeed}: {status}");
    }
    // git asks for this name in every directory that somebody works in: no provider is asked.
    let before = mounted.status().expect("status");
    assert!(!mounted.join("hostile/good/.git").exists());
    assert!(!mounted.join("hostile/.GIT").exists());
    let after = mounted.status().expect("status");
    assert_eq!(before["errors"], after["errors"]);
}
