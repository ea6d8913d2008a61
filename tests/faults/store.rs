//! A mount that begins where the one before has ended: `disk` in `[cache]`.

use crate::{Background, NEVER, SOON, available, files, read, setup, title_path};
use omnifs_support::{Omnifs, wait_until};
use omnifs_twins::{GithubTwin, Request};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Less than a use waits for a poll.
const PATIENCE: Duration = Duration::from_secs(4);
const STORE: &str = "[cache]\ndisk = '256MiB'\n";

/// `OMNIFS_STORE_ISSUES`: how many issues are walked, of a dozen files each.
fn issues() -> usize {
    std::env::var("OMNIFS_STORE_ISSUES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

fn twin(issues: usize) -> GithubTwin {
    let twin = GithubTwin::start(setup(1, issues)).expect("a twin");
    // What was made now is not news to the first poll.
    twin.clock().advance(Duration::from_secs(180));
    twin
}

/// A home that shows all of so many issues.
fn kept(twin: &GithubTwin, issues: usize) -> Omnifs {
    let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", NEVER);
    configure(&omnifs, twin, issues.max(2000));
    omnifs
}

fn configure(omnifs: &Omnifs, twin: &GithubTwin, bound: usize) {
    let bound = format!("settings.listing-bound = {bound}");
    let config = format!(
        "{STORE}nodes = 1000000\nbytes = '1GiB'\n[instances.docker]\nenabled = false\n\
         [instances.linear]\nenabled = false\n[instances.github]\n{bound}\n\
         [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
        twin.url(),
        twin.storage_url()
    );
    omnifs.config(&config).expect("a configuration");
}

fn mount<'a>(omnifs: &'a Omnifs, args: &[&str]) -> Background<'a> {
    let (mounted, ran) = Background::mount(omnifs, "true", args);
    assert!(ran.status.success(), "{}", ran.stderr);
    mounted
}

/// All that a walk over the issues reads, each line behind the path that it is of.
fn walk(point: &Path) -> BTreeMap<String, u64> {
    let all = point.join("github/acme/api/_issues/_all");
    let found = Command::new("grep").args(["-r", ""]).arg(".").current_dir(all).output();
    let found = found.expect("grep");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let mut lines = BTreeMap::new();
    for line in String::from_utf8_lossy(&found.stdout).lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// Has the feeds of all that is walked prove the outage. False where a use may not have waited for that to its end:
/// it then asks by itself.
fn reach(point: &Path) -> bool {
    let begun = Instant::now();
    read(&title_path(point, 2));
    begun.elapsed() < PATIENCE
}

/// What a mount that has kept nothing shows.
fn truth(twin: &GithubTwin, issues: usize) -> BTreeMap<String, u64> {
    let omnifs = kept(twin, issues);
    let mounted = mount(&omnifs, &[]);
    let lines = walk(mounted.path());
    mounted.unmount();
    lines
}

/// Requests since the one with this id, those of polls aside.
fn asked(twin: &GithubTwin, since: u64) -> Vec<Request> {
    let polls = |request: &Request| {
        let query = request.query.as_deref().unwrap_or_default();
        let by_id = request.path.strip_prefix("/repositories/");
        ["since=", "sort=updated", "sort=created"].iter().any(|part| query.contains(part))
            || ["/issues/events", "/labels", "/milestones"]
                .iter()
                .any(|end| request.path.ends_with(end))
            || by_id.is_some_and(|rest| !rest.contains('/'))
    };
    let requests = twin.requests().into_iter().filter(|request| request.id > since);
    requests.filter(|request| !polls(request)).collect()
}

fn last(twin: &GithubTwin) -> u64 {
    twin.requests().last().map_or(0, |request| request.id)
}

fn lines(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|r| format!("{} {} {}", r.line(), r.conditional, r.status)).collect()
}

/// Waits until all that is known is on disk, and how far every feed has come.
fn await_kept(mounted: &Background<'_>) {
    let kept = || {
        let status = mounted.status().ok()?;
        let disk = &status["cache"]["disk"];
        assert_eq!(disk["off"], serde_json::Value::Null, "{status}");
        let scopes = status["scopes"].as_array()?.len() as u64;
        let settled = scopes > 0 && disk["scopes"].as_u64()? >= scopes;
        (settled && disk["waiting"] == 0).then_some(())
    };
    let status = || mounted.status().map(|status| status.to_string());
    assert!(wait_until(SOON, kept).is_some(), "{:?}", status());
}

fn kill(mounted: Background<'_>) {
    let pid = mounted.pid();
    let number = Pid::from_raw(pid.cast_signed()).expect("a pid");
    kill_process(number, Signal::KILL).expect("kill");
    let not_connected = Some(rustix::io::Errno::NOTCONN.raw_os_error());
    let mut names = 0;
    let dead = || {
        // One that no kernel has from before, as it may have that a name is absent.
        names += 1;
        let unseen = mounted.path().join(format!("github/nobody-has-looked-{names}"));
        let error = fs::metadata(&unseen).expect_err("there is no such name");
        (error.raw_os_error() == not_connected).then_some(())
    };
    assert!(wait_until(SOON, dead).is_some(), "it goes on");
    // The next mount repairs what it leaves.
    std::mem::forget(mounted);
}

#[test]
fn a_restart_asks_for_nothing_where_the_feeds_prove_that_nothing_was_missed() {
    if !available("warm_start") {
        return;
    }
    let (issues, twin) = (issues(), twin(issues()));
    let omnifs = kept(&twin, issues);
    // It ends with its process, so that it can be killed.
    let mut mounted = mount(&omnifs, &["--keeper=false"]);
    let begun = Instant::now();
    let first = walk(mounted.path());
    let cold = (begun.elapsed(), last(&twin));
    assert!(first.len() > issues * 5, "{} lines", first.len());
    for killed in [false, true] {
        await_kept(&mounted);
        match killed {
            true => kill(mounted),
            false => mounted.unmount(),
        }
        let mut attempts = 0;
        let (before, again, warm) = loop {
            let before = last(&twin);
            mounted = mount(&omnifs, &["--keeper=false"]);
            let begun = Instant::now();
            let proven_in_time = reach(mounted.path());
            let again = walk(mounted.path());
            let warm = begun.elapsed();
            if proven_in_time {
                break (before, again, warm);
            }
            attempts += 1;
            assert!(attempts < 10, "no poll ends in time on this machine");
            await_kept(&mounted);
            mounted.unmount();
        };
        let requests = asked(&twin, before);
        assert_eq!(lines(&requests), Vec::<String>::new(), "killed: {killed}");
        assert!(again == first, "killed: {killed}: it shows something else");
        let status = mounted.status().expect("status");
        eprintln!(
            "{} lines of {issues} issues: {:?} and {} requests at first, {warm:?} and {} of polls after \
             the restart; {}",
            first.len(),
            cold.0,
            cold.1,
            last(&twin) - before,
            status["cache"]
        );
        assert!(
            status["cache"]["disk"]["recalled"].as_u64() >= Some(issues as u64 / 10),
            "{status}"
        );
    }
    mounted.unmount();
}

#[test]
fn what_has_changed_while_nothing_ran_is_shown_as_it_is_and_nothing_else_is_fetched() {
    if !available("changed_meanwhile") {
        return;
    }
    const ISSUES: usize = 150;
    let twin = twin(ISSUES);
    let omnifs = kept(&twin, ISSUES);
    let mounted = mount(&omnifs, &[]);
    let first = walk(mounted.path());
    await_kept(&mounted);
    mounted.unmount();

    twin.clock().advance(Duration::from_secs(120));
    twin.retitle("acme/api", 7, "another title").expect("changed");
    twin.edit_body("acme/api", 90, Some("another body")).expect("changed");
    twin.close("acme/api", 31).expect("changed");
    let before = last(&twin);
    let mounted = mount(&omnifs, &[]);
    assert_eq!(read(&title_path(mounted.path(), 7)), "another title\n");
    let again = walk(mounted.path());
    let requests = asked(&twin, before);
    assert!(again != first);
    let now = truth(&twin, ISSUES);
    let odd: Vec<_> = again.keys().filter(|line| !now.contains_key(*line)).collect();
    assert!(again == now, "{odd:?}");
    // Pages that hold nothing new are not sent again.
    let fetched = requests.iter().filter(|request| request.status == 200).count();
    assert!(fetched <= 8, "{:?}", lines(&requests));
    mounted.unmount();
}

#[test]
fn where_a_feed_cannot_prove_the_outage_all_is_asked_for_by_its_validator() {
    if !available("gap_meanwhile") {
        return;
    }
    const ISSUES: usize = 150;
    let twin = twin(ISSUES);
    let omnifs = kept(&twin, ISSUES);
    let mounted = mount(&omnifs, &[]);
    let first = walk(mounted.path());
    await_kept(&mounted);
    mounted.unmount();

    // More than an hour, after which the feed's polls do not vouch for all.
    twin.clock().advance(Duration::from_secs(2 * 3600));
    let before = last(&twin);
    let mounted = mount(&omnifs, &[]);
    let again = walk(mounted.path());
    assert!(again == first);
    let requests = asked(&twin, before);
    assert!(!requests.is_empty());
    let sent: Vec<_> =
        requests.iter().filter(|r| !r.conditional || r.status != 304).cloned().collect();
    assert_eq!(lines(&sent), Vec::<String>::new());
    mounted.unmount();
}

/// The stores below a home's cache.
fn stores(omnifs: &Omnifs) -> Vec<PathBuf> {
    files(&omnifs.path("cache/omnifs/answers"))
}

#[test]
fn a_damaged_store_is_as_none() {
    if !available("damaged_store") {
        return;
    }
    const ISSUES: usize = 40;
    let twin = twin(ISSUES);
    let omnifs = kept(&twin, ISSUES);
    let mounted = mount(&omnifs, &[]);
    let first = walk(mounted.path());
    await_kept(&mounted);
    mounted.unmount();
    let [store] = &stores(&omnifs)[..] else { panic!("{:?}", stores(&omnifs)) };
    let whole = fs::read(store).expect("a store");
    let mut seed = 88172645463325252u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..8 {
        let mut bytes = whole.clone();
        match round {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.truncate(100),
            2 => bytes.fill(b'x'),
            // In a page of the file, wherever that is.
            _ => {
                let at = random() as usize % (bytes.len() - 4096);
                bytes[at..at + 4096].iter_mut().for_each(|byte| *byte = random() as u8);
            }
        }
        fs::write(store, bytes).expect("damaged");
        let mounted = mount(&omnifs, &[]);
        assert!(walk(mounted.path()) == first, "round {round}");
        let status = mounted.status().expect("status");
        assert_eq!(status["mount"]["mountpoint"].as_str(), mounted.path().to_str(), "{status}");
        mounted.unmount();
    }
}

#[test]
fn a_store_is_the_users_alone_and_holds_no_secret() {
    if !available("private_store") {
        return;
    }
    const TOKEN: &str = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let twin = twin(20);
    twin.set_tokens(&[TOKEN]);
    let omnifs = kept(&twin, 20).env("GH_ENTERPRISE_TOKEN", TOKEN);
    let mounted = mount(&omnifs, &[]);
    walk(mounted.path());
    await_kept(&mounted);
    mounted.unmount();
    let stores = stores(&omnifs);
    assert_eq!(stores.len(), 1, "{stores:?}");
    let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;
    assert_eq!(mode(&stores[0]), 0o600);
    assert_eq!(mode(stores[0].parent().expect("a directory")), 0o700);
    let bytes = fs::read(&stores[0]).expect("a store");
    assert!(!bytes.windows(12).any(|part| part == &TOKEN.as_bytes()[..12]), "it holds the token");
}

#[test]
fn nothing_is_shown_of_what_other_credentials_or_settings_were_answered() {
    if !available("other_credentials") {
        return;
    }
    const ISSUES: usize = 30;
    let twin = twin(ISSUES);
    twin.set_tokens(&["ghp_one", "ghp_two"]);
    let omnifs = kept(&twin, ISSUES).env("GH_ENTERPRISE_TOKEN", "ghp_one");
    let mounted = mount(&omnifs, &[]);
    let first = walk(mounted.path());
    await_kept(&mounted);
    mounted.unmount();
    // The service takes it back.
    twin.set_tokens(&["ghp_two"]);
    let mounted = mount(&omnifs, &[]);
    let refused = fs::read(title_path(mounted.path(), 3)).expect_err("it was taken back");
    assert_eq!(refused.raw_os_error(), Some(13), "{refused}");
    mounted.unmount();
    // Another one is another user, perhaps: nothing is asked for by what the first one was answered.
    let omnifs = omnifs.env("GH_ENTERPRISE_TOKEN", "ghp_two");
    let before = last(&twin);
    let mounted = mount(&omnifs, &[]);
    assert!(walk(mounted.path()) == first);
    let pages: Vec<_> = asked(&twin, before);
    let pages: Vec<_> = pages.iter().filter(|r| r.path.ends_with("/issues")).cloned().collect();
    assert!(!pages.is_empty());
    let conditional: Vec<_> = pages.iter().filter(|r| r.conditional).cloned().collect();
    assert_eq!(lines(&conditional), Vec::<String>::new());
    await_kept(&mounted);
    mounted.unmount();
    // With the same ones what was kept is found, and with other settings it is not.
    for (bound, found) in [(2000, true), (2001, false)] {
        configure(&omnifs, &twin, bound);
        let recalled = || {
            let mounted = mount(&omnifs, &[]);
            let in_time = reach(mounted.path()) || !found;
            assert!(walk(mounted.path()) == first);
            let status = mounted.status().expect("status");
            await_kept(&mounted);
            mounted.unmount();
            in_time.then(|| status["cache"]["disk"]["recalled"].as_u64().expect("a number"))
        };
        let recalled = (0..10).find_map(|_| recalled()).expect("a poll that ends in time");
        assert_eq!(recalled > 0, found);
    }
}
