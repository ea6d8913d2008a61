//! What people and their agents ask of an engine, each answered by a line or two of shell.

use crate::{World, shell, stdout};
use omnifs_support::tasks::{self, Task};
use omnifs_support::{Container, wait_until};

#[test]
fn each_task_takes_two_commands_at_most_and_few_requests() {
    let Some(world) = World::new("docker_tasks") else { return };
    let containers = tasks::containers(world.api()).expect("containers");
    let mounted = world.mount();
    eprintln!("commands  requests  bytes  task");
    for Task { question, place, lines, answer, requests } in tasks::DOCKER {
        world.requests();
        let place = mounted.join(place);
        let shown: Vec<_> = lines.iter().map(|line| stdout(&shell(&place, line))).collect();
        let (shown, asked) = (shown.join("\n"), world.requests());
        eprintln!("{:8}  {:8}  {:5}  {question}", lines.len(), asked.len(), shown.len());
        assert!(lines.len() <= 2, "{question}");
        for part in *answer {
            assert!(shown.contains(part), "{question}: {part} is not in {shown}");
        }
        assert!(asked.len() <= *requests, "{question}: {asked:#?}");
    }
    drop(mounted);
    drop(containers);
}

#[test]
fn the_table_of_containers_follows_the_engine() {
    let Some(world) = World::new("docker_table") else { return };
    let api = world.api();
    let mounted = world.mount();
    let table = mounted.join("docker/containers.tsv");
    const ESTALE: i32 = 116;
    // What changes after it was opened and before it was read is opened again.
    let rows = || loop {
        match std::fs::read_to_string(&table) {
            Err(error) if error.raw_os_error() == Some(ESTALE) => continue,
            rows => break rows.expect("the table"),
        }
    };
    assert!(!rows().contains("\ntabled\t"));
    let command = ["sh", "-c", "exec sleep 3600"];
    api.run(&Container { name: "tabled", command: &command, ..Container::default() }).expect("run");
    let row = |state: &str| {
        rows()
            .lines()
            .any(|row| row.starts_with("tabled\t") && row.contains(&format!("\t{state}\t")))
    };
    let shown = |state: &str| wait_until(crate::SOON, || row(state).then_some(()));
    assert!(shown("running").is_some(), "{}", rows());
    assert_eq!(rows().len() as u64, std::fs::metadata(&table).expect("stat").len());
    api.remove("tabled").expect("remove");
    let gone = || (!rows().contains("\ntabled\t")).then_some(());
    assert!(wait_until(crate::SOON, gone).is_some(), "{}", rows());
}
