//! What changes at GitHub shows by the feed; without the feed, nothing is served unasked.

use crate::{API, OFTEN, SOON, Wish, World, await_polled, await_scope, issues, scope};
use omnifs_support::tools::{await_content, await_gone, read, shell};
use omnifs_support::wait_until;
use omnifs_twins::github::NewIssue;
use omnifs_twins::{Fault, Times};
use std::fs;
use std::time::{Duration, Instant};

const EAGAIN: i32 = 11;

#[test]
fn after_a_lost_feed_an_unchanged_issue_costs_one_conditional_request() {
    let Some(world) = World::polled("lost_feed") else { return };
    let mounted = world.mount();
    let issue = mounted.join(API).join("_issues/_open/2853");
    let before = fs::read(issue.join("issue.json")).expect("read");
    await_polled(&mounted);
    await_scope(&mounted, "issues:", "live");
    // The polls of issues fail, and nothing else does.
    for listing in ["/repositories/*/issues", "/repositories/*/issues/comments"] {
        world.twin.inject(Fault::Status(500), listing, Times::UntilCleared);
    }
    await_scope(&mounted, "issues:", "lost");
    world.requests();
    assert_eq!(fs::read(issue.join("issue.json")).expect("read"), before);
    let taken = world.taken();
    let lines: Vec<_> = taken.iter().map(|r| (r.line(), r.status, r.conditional)).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].0.ends_with("/issues/2853") && lines[0].1 == 304 && lines[0].2, "{lines:?}");
    assert!(!taken[0].counted, "a 304 costs nothing");
    world.twin.clear_faults();
    await_scope(&mounted, "issues:", "live");
    world.requests();
    for _ in 0..20 {
        assert_eq!(fs::read(issue.join("issue.json")).expect("read"), before);
    }
    assert_eq!(world.requests(), [""; 0], "live again");
}

#[test]
fn a_minute_of_grep_over_a_thousand_unchanged_issues_leaves_only_the_polls() {
    let setup = issues(1_000, 0);
    let wish = Wish { setup, polls: Some(OFTEN), ..Wish::default() };
    let Some(world) = World::new("a_minute", wish) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let lines = shell(&open, "grep -rc . . | wc -l");
    await_polled(&mounted);
    assert_eq!(shell(&open, "grep -rc . . | wc -l"), lines);
    world.requests();
    let polls = world.twin.requests().len();
    let (began, mut walks) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(60) {
        assert_eq!(shell(&open, "grep -rc . . | wc -l"), lines);
        walks += 1;
    }
    assert_eq!(world.requests(), [""; 0], "{walks} walks");
    let polled = world.twin.requests().len() - polls;
    assert!(walks >= 3 && polled > 50, "{walks} walks beside {polled} polls");
}

#[test]
fn after_a_restart_of_the_service_the_path_is_asked_again_by_conditions_only() {
    let Some(world) = World::polled("service_restart") else { return };
    let mounted = world.mount();
    let issue = mounted.join(API).join("_issues/_open/2853");
    let before = fs::read(issue.join("issue.json")).expect("read");
    await_polled(&mounted);
    world.requests();
    world.twin.stop();
    await_scope(&mounted, "issues:", "lost");
    await_scope(&mounted, "owner:", "lost");
    assert!(fs::read(issue.join("body")).is_err(), "nothing stale is served");
    // What happens now brings no event.
    world.twin.retitle("acme/api", 2846, "Changed while nobody listened").expect("retitle");
    world.twin.restart().expect("restart");
    let read_again = || (fs::read(issue.join("issue.json")).ok()? == before).then_some(());
    assert!(wait_until(SOON, read_again).is_some());
    let taken = world.taken();
    let asked: Vec<_> = taken.iter().map(|r| (r.line(), r.status)).collect();
    // Owner, repository, issue, as far as no poll had vouched for them again.
    assert!(asked.iter().all(|(_, status)| *status == 304) && asked.len() <= 3, "{asked:?}");
    await_scope(&mounted, "issues:", "live");
    let other = mounted.join(API).join("_issues/_open/2846/title");
    await_content(&other, "Changed while nobody listened\n", SOON);
}

#[test]
fn what_happened_while_the_feed_was_down_shows_when_it_is_back() {
    let Some(world) = World::polled("while_down") else { return };
    let mounted = world.mount();
    let issues = mounted.join(API).join("_issues");
    let title = issues.join("_open/2846/title");
    read(&title);
    shell(&issues, "ls _open _closed");
    await_polled(&mounted);
    for listing in ["/repositories/*/issues", "/repositories/*/issues/comments"] {
        world.twin.inject(Fault::Reset, listing, Times::UntilCleared);
    }
    await_scope(&mounted, "issues:", "lost");
    world.twin.retitle("acme/api", 2846, "While it was down").expect("retitle");
    world.twin.close("acme/api", 2849).expect("close");
    assert_eq!(read(&title), "While it was down\n", "without a feed every use asks");
    world.twin.clear_faults();
    await_scope(&mounted, "issues:", "live");
    await_gone(&issues.join("_open/2849"), SOON);
    assert_eq!(shell(&issues, "ls _open"), "2838\n2841\n2846\n2853");
    assert_eq!(read(&issues.join("_closed/2849/state")), "closed\n");
}

#[test]
fn a_minute_of_rejected_polls_leaves_nothing_stale_and_brings_no_storm() {
    let Some(world) = World::polled("a_minute_of_429") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let (quiet, edited) = (open.join("2853/title"), open.join("2846/title"));
    let before = read(&quiet);
    read(&edited);
    await_polled(&mounted);
    let status = mounted.status().expect("status");
    let issues = status["scopes"]
        .as_array()
        .expect("scopes")
        .iter()
        .find(|scope| scope["scope"].as_str().is_some_and(|name| name.starts_with("issues:")));
    assert!(issues.is_some_and(|scope| scope["lag"].is_u64()), "{status}");
    for listing in ["/repositories/*/issues", "/repositories/*/issues/comments"] {
        world.twin.inject(Fault::TooMany { retry_after: 2 }, listing, Times::UntilCleared);
    }
    await_scope(&mounted, "issues:", "lost");
    world.requests();
    world.twin.retitle("acme/api", 2846, "Nobody heard of this").expect("retitle");
    let (began, mut uses) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(60) {
        for (file, content) in [(&quiet, &*before), (&edited, "Nobody heard of this\n")] {
            match fs::read_to_string(file) {
                Ok(text) => assert_eq!(text, content),
                // Who is told to wait does not ask for others either.
                Err(error) => assert_eq!(error.raw_os_error(), Some(EAGAIN), "{error}"),
            }
            uses += 1;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let asked = world.requests().len();
    assert!(asked <= 3 * uses, "{asked} requests for {uses} uses");
    world.twin.clear_faults();
    // The next attempt comes within the longest wait between two.
    let live = || (scope(&mounted.status().ok()?, "issues:")? == "live").then_some(());
    assert!(wait_until(Duration::from_secs(240), live).is_some(), "{:?}", mounted.status());
    assert_eq!((read(&quiet), read(&edited)), (before, "Nobody heard of this\n".into()));
    world.requests();
    assert_eq!(read(&edited), "Nobody heard of this\n");
    assert_eq!(world.requests(), [""; 0], "live again");
}

#[test]
fn edits_comments_and_new_issues_show_by_the_polls() {
    let Some(world) = World::polled("edits") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert_eq!(shell(&open, "ls | wc -l"), "5");
    assert_eq!(shell(&open, "ls 2853/comments | wc -l"), "2");
    read(&open.join("2853/body"));
    await_polled(&mounted);
    let twin = &world.twin;
    twin.edit_body("acme/api", 2853, Some("A new body\r\n")).expect("edit");
    await_content(&open.join("2853/body"), "A new body\r\n", SOON);
    let comment = twin.add_comment("acme/api", 2853, "lars", "Me too.").expect("comment");
    let path = open.join(format!("2853/comments/{comment}.md"));
    let shown = wait_until(SOON, || fs::read_to_string(&path).ok());
    assert!(shown.expect("the comment").ends_with("Me too."), "verbatim below its front matter");
    assert_eq!(shell(&open, "ls 2853/comments | wc -l"), "3");
    twin.edit_comment("acme/api", comment, "Not any more.").expect("edit");
    let edited = || fs::read_to_string(&path).ok()?.ends_with("Not any more.").then_some(());
    assert!(wait_until(SOON, edited).is_some());
    twin.set_labels("acme/api", 2853, &["bug"]).expect("label");
    await_content(&open.join("2853/labels"), "bug\n", SOON);
    let title = "Born while watched".to_owned();
    let number = twin.open_issue("acme/api", NewIssue { title, ..NewIssue::default() });
    let path = open.join(number.expect("open").to_string());
    assert!(wait_until(SOON, || path.exists().then_some(())).is_some());
    assert_eq!(read(&path.join("title")), "Born while watched\n");
    // A lookup asks by itself; the listing follows the poll.
    let listed = || (shell(&open, "ls | wc -l") == "6").then_some(());
    assert!(wait_until(SOON, listed).is_some());
}

#[test]
fn a_run_goes_on_and_a_push_moves_a_branch() {
    let Some(world) = World::polled("run_push") else { return };
    let mounted = world.mount();
    let repo = mounted.join(API);
    assert_eq!(read(&repo.join("_actions/runs/9802/status")), "in_progress\n");
    let main = read(&repo.join("_branches/main"));
    assert_eq!(
        read(&repo.join("_repo/src/tls.rs")),
        "pub const OLDEST: Version = Version::Tls12;\n"
    );
    await_polled(&mounted);
    world.twin.progress_run("acme/api", 9802, "completed", Some("success")).expect("progress");
    await_content(&repo.join("_actions/runs/9802/status"), "completed\n", SOON);
    assert_eq!(read(&repo.join("_actions/runs/9802/conclusion")), "success\n");
    let router = world.twin.ref_sha("acme/api", "refs/heads/lars/router").expect("a ref");
    world.twin.set_ref("acme/api", "refs/heads/main", &router).expect("set");
    await_content(&repo.join("_branches/main"), &format!("{router}\n"), SOON);
    assert_ne!(read(&repo.join("_branches/main")), main);
    await_content(&repo.join("_repo/src/router.rs"), "pub struct Router;\n", SOON);
}

#[test]
fn nothing_is_asked_while_nothing_happens() {
    let Some(world) = World::new("quiet", Wish { polls: Some(OFTEN), ..Wish::default() }) else {
        return;
    };
    let mounted = world.mount();
    let issue = mounted.join(API).join("_issues/_open/2853");
    let first = read(&issue.join("issue.md"));
    await_polled(&mounted);
    world.requests();
    let polls = world.twin.counts();
    for _ in 0..200 {
        assert_eq!(read(&issue.join("issue.md")), first);
    }
    assert_eq!(world.requests(), [""; 0]);
    let later = wait_until(SOON, || {
        let counts = world.twin.counts();
        (counts.not_modified > polls.not_modified + 4).then_some(counts)
    });
    assert!(later.is_some(), "quiet polls are answered 304: {:?}", world.twin.counts());
}

#[test]
fn stale_if_error_serves_what_no_event_named_and_says_so() {
    let sections = "[mount]\nstale-if-error = true\n";
    let Some(world) = World::new("stale", Wish { polls: Some(OFTEN), sections, ..Wish::default() })
    else {
        return;
    };
    let mounted = world.mount();
    let title = mounted.join(API).join("_issues/_open/2853/title");
    let before = read(&title);
    await_polled(&mounted);
    world.twin.stop();
    await_scope(&mounted, "issues:", "lost");
    await_scope(&mounted, "owner:", "lost");
    assert_eq!(read(&title), before);
    let status = mounted.status().expect("status");
    assert!(status["cache"]["stale_served"].as_u64().is_some_and(|n| n > 0), "{status}");
    let text = world.omnifs.run(&["status"]).expect("status").stdout;
    assert!(text.contains("answers were stale"), "{text}");
    world.twin.retitle("acme/api", 2853, "Changed while away").expect("retitle");
    world.twin.restart().expect("restart");
    await_content(&title, "Changed while away\n", SOON);
}
