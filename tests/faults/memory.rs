//! A daemon that may have little memory, under a walk over far more than that holds.

use crate::{Background, SOON, available, home_of, is_root, setup};
use omnifs_support::tools::list;
use omnifs_support::{skip, wait_until};
use omnifs_twins::GithubTwin;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes that the daemon may have.
const LIMIT: u64 = 256 << 20;

/// A group of processes with a bound on their memory, of either kind of cgroups.
struct Group {
    directory: PathBuf,
    /// Counts how often the bound was met with nothing left to give up.
    killed: fn(&Path) -> u64,
}

impl Group {
    /// # Errors
    /// Why there can be none here.
    fn new() -> Result<Group, String> {
        let name = format!("omnifs-faults-{}", std::process::id());
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers");
        let (parent, bound, killed): (_, _, fn(&Path) -> u64) = match unified.exists() {
            true => ("/sys/fs/cgroup", "memory.max", |at| count(at, "memory.events", "oom_kill")),
            false => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", |at| {
                count(at, "memory.oom_control", "oom_kill")
            }),
        };
        let group = Group { directory: Path::new(parent).join(name), killed };
        let told = |error: io::Error| format!("no cgroup can be made in {parent}: {error}");
        fs::create_dir(&group.directory).map_err(told)?;
        fs::write(group.directory.join(bound), LIMIT.to_string()).map_err(told)?;
        Ok(group)
    }

    fn processes(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process may not have been buried yet.
        let _ = wait_until(SOON, || fs::remove_dir(&self.directory).ok());
    }
}

/// The number behind `name` in a file of such lines.
fn count(group: &Path, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// Directories and files below it.
fn walk(directory: &Path) -> io::Result<u64> {
    let mut found = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        found += 1;
        if entry.file_type()?.is_dir() {
            found += walk(&entry.path())?;
        }
    }
    Ok(found)
}

/// `OMNIFS_FAULT_REPOS=45` for a walk over a million.
#[test]
fn a_walk_over_far_more_than_memory_holds_stays_within_it_and_sees_everything() {
    const ISSUES: usize = 1_500;
    if !available("little_memory") || !is_root("little_memory", "a cgroup") {
        return;
    }
    let group = match Group::new() {
        Ok(group) => group,
        Err(why) => return skip("little_memory", &why),
    };
    let given = std::env::var("OMNIFS_FAULT_REPOS").ok().and_then(|text| text.parse().ok());
    let repos: usize = given.unwrap_or(2);
    let twin = GithubTwin::start(setup(repos, ISSUES)).expect("a twin");
    let omnifs = home_of(&twin, "");
    let enter = format!("echo $$ > {}", group.processes().display());
    let (mounted, ran) = Background::mount(&omnifs, &enter, &["--cache-capacity", "20000,32MiB"]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let pid = mounted.pid();
    assert!(crate::read(&group.processes()).lines().any(|line| line == pid.to_string()));
    let mut found = 0;
    for repo in list(&mounted.path().join("github/acme")).expect("list") {
        let all = mounted.path().join("github/acme").join(repo).join("_issues/_all");
        if all.is_dir() {
            assert_eq!(list(&all).expect("list").len(), ISSUES);
            found += walk(&all).expect("a walk");
        }
    }
    println!("{found} files and directories");
    assert!(found > (repos * ISSUES * 10) as u64, "{found}");
    assert_eq!((group.killed)(&group.directory), 0);
    assert_eq!(mounted.pid(), pid, "it is the same process");
    let status = mounted.status().expect("status");
    let number = |name: &str| status["cache"][name].as_u64().expect(name);
    assert!(number("nodes") <= number("nodes_capacity"), "{}", status["cache"]);
    assert!(number("evictions") > 0, "the walk is larger than the cache");
    let rest = || (mounted.status().ok()?["under_way"]["fetches"] == 0).then_some(());
    assert!(wait_until(Duration::from_secs(60), rest).is_some(), "{:?}", mounted.status());
    mounted.unmount();
}
