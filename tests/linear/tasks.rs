//! What people and their agents ask of Linear, each answered by a line of shell.

use crate::{OFTEN, SOON, World, await_live};
use omnifs_support::tasks::{LINEAR, Task};
use omnifs_support::tools::{read, shell};
use omnifs_support::wait_until;
use omnifs_twins::LinearSetup;

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
