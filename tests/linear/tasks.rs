//! What people and their agents ask of Linear, each answered by a line of shell.

use crate::{OFTEN, SOON, World, await_live};
use omnifs_support::tasks::{LINEAR, Task};
use omnifs_support::tools::{read, shell};
use omnifs_support::wait_until;
use omnifs_twins::LinearSetup;
use omnifs_twins::linear::IssueEdit;

#[test]
fn each_task_takes_one_command_and_few_requests() {
    let Some(world) = World::demo("linear_tasks") else { return };
    eprintln!("requests  bytes  task");
    for task @ Task { question, answer, requests, .. } in LINEAR {
        let mounted = world.mount();
        let shown = shell(&mounted.join("."), &task.line());
        let asked = world.requests();
        eprintln!("{:8}  {:5}  {question}", asked.len(), shown.len());
        assert_eq!(task.lines.len(), 1, "{question}");
        for part in *answer {
            assert!(shown.contains(part), "{question}: {part} is not in {shown}");
        }
        assert!(asked.len() <= *requests, "{question}: {asked:?}");
    }
}

#[test]
fn whoever_has_listed_the_open_issues_has_their_table_and_a_change_shows_in_it() {
    let Some(world) = World::new("linear_table", LinearSetup::default(), OFTEN, "") else { return };
    let mounted = world.mount();
    let issues = mounted.join("linear/teams/ENG/issues");
    let listed = shell(&issues, "ls _open | wc -l");
    world.requests();
    assert_eq!(shell(&issues, "tail -n +2 _open.tsv | wc -l"), listed);
    assert_eq!(shell(&issues, "wc -l < _open.jsonl"), listed);
    assert_eq!(shell(&issues, "stat -c %i ENG-204"), shell(&issues, "stat -c %i _open/ENG-204"));
    assert_eq!(world.requests(), [""; 0]);
    await_live(&mounted);
    world.twin.retitle("ENG-204", "Another title").expect("retitle");
    let table = issues.join("_open.tsv");
    let shown = || read(&table).contains("\tAnother title\n").then_some(());
    assert!(wait_until(SOON, shown).is_some(), "{}", read(&table));
}

#[test]
fn whoever_has_listed_the_open_issues_has_the_views_of_them_which_lead_to_the_issues_themselves() {
    let Some(world) = World::demo("linear_views") else { return };
    let mounted = world.mount();
    let issues = mounted.join("linear/teams/ENG/issues");
    shell(&issues, "ls _open");
    world.requests();
    assert_eq!(shell(&issues, "ls _by-label"), "Bug\nFeature\narea%2Fapi\nauth");
    assert_eq!(shell(&issues, "ls _by-label/auth"), "ENG-201\nENG-204");
    assert_eq!(
        shell(&issues, "ls _by-assignee/priya _mine"),
        "_by-assignee/priya:\nENG-204\n\n_mine:"
    );
    assert_eq!(shell(&issues, "cat _by-label/auth/ENG-204/priority"), "High");
    let inode = "stat -L -c %i _by-label/auth/ENG-204 _open/ENG-204 | uniq | wc -l";
    assert_eq!(shell(&issues, inode), "1");
    assert_eq!(world.requests(), [""; 0], "the listing held all of it");
}

#[test]
fn an_issue_with_another_label_and_another_assignee_moves_from_view_to_view() {
    let Some(world) = World::polled("linear_views_change") else { return };
    let mounted = world.mount();
    let issues = mounted.join("linear/teams/ENG/issues");
    assert_eq!(shell(&issues, "ls _by-label/auth"), "ENG-201\nENG-204");
    assert_eq!(shell(&issues, "ls _by-assignee/priya"), "ENG-204");
    await_live(&mounted);
    let edit = IssueEdit {
        labels: Some(vec!["Bug".to_owned()]),
        assignee: Some(Some("mira".to_owned())),
        ..IssueEdit::default()
    };
    world.twin.edit_issue("ENG-204", &edit).expect("an edit");
    let moved = || {
        let is_there = |line: &str, shown: &str| shell(&issues, line) == shown;
        let all = is_there("ls _by-label/auth", "ENG-201")
            && is_there("ls _by-label/Bug", "ENG-199\nENG-204")
            && is_there("ls _mine", "ENG-204");
        all.then_some(())
    };
    assert!(wait_until(SOON, moved).is_some(), "{}", shell(&issues, "ls _by-label/* _mine"));
    assert!(!issues.join("_by-assignee/priya").exists(), "nothing is hers");
}

#[test]
fn a_search_leads_to_the_issues_themselves_and_each_open_asks() {
    let Some(world) = World::demo("linear_search") else { return };
    let mounted = world.mount();
    let issues = mounted.join("linear/teams/ENG/issues");
    assert_eq!(shell(&issues, "ls _search"), "", "no listing shows one");
    world.requests();
    let hits = "ls '_search/auth tokens'";
    assert_eq!(shell(&issues, hits), "ENG-204\nresults.jsonl\nresults.tsv");
    // One for the names, and one for the size of each table if the kernel asks for it.
    let asked = world.requests();
    assert!(!asked.is_empty() && asked.iter().all(|name| name == "Search"), "{asked:?}");
    assert_eq!(shell(&issues, "cat '_search/auth tokens/ENG-204/priority'"), "High");
    let same = "stat -L -c %i '_search/auth tokens/ENG-204' _open/ENG-204 | uniq | wc -l";
    assert_eq!(shell(&issues, same), "1");
    world.requests();
    world.twin.retitle("ENG-203", "Name auth tokens").expect("retitle");
    assert_eq!(shell(&issues, hits), "ENG-203\nENG-204\nresults.jsonl\nresults.tsv");
    assert!(world.requests().contains(&"Search".to_owned()));
    let table = read(&issues.join("_search/auth tokens/results.tsv"));
    assert!(table.contains("\tName auth tokens\n"), "{table}");
}
