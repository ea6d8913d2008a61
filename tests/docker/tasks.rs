//! What people and their agents ask of an engine, each answered by a line or two of shell.

use crate::{World, shell, stdout};
use omnifs_support::{Container, wait_until};

#[test]
fn each_task_takes_two_commands_at_most_and_few_requests() {
    let Some(world) = World::new("docker_tasks") else { return };
    let api = world.api();
    let fails = ["sh", "-c", "echo no database >&2; exit 3"];
    let stays = ["sh", "-c", "exec sleep 3600"];
    api.run(&Container { name: "task-fails", command: &fails, ..Container::default() })
        .expect("run");
    api.wait("task-fails").expect("wait");
    api.run(&Container { name: "task-stays", command: &stays, ..Container::default() })
        .expect("run");
    let mounted = world.mount();
    let docker = mounted.join("docker");
    // With how many requests at most; one may meet what another test's container does.
    let tasks: [(&str, &[&str], &[&str], usize); 4] = [
        (
            "which containers ended, and why",
            &[
                "grep -P '\\texited\\t' containers.tsv | cut -f1,5",
                "tail -n 1 containers/_stopped/task-fails/stderr.log",
            ],
            &["task-fails\tExited (3)", "no database"],
            3,
        ),
        (
            "which ones restarted",
            &["grep -c . containers/by-name/task-*/restart-count"],
            &["task-fails/restart-count:1", "task-stays/restart-count:1"],
            3,
        ),
        ("what runs in one", &["cat containers/by-name/task-stays/top"], &["PID", "sleep 3600"], 3),
        ("which engine is this", &["grep -h ApiVersion system/version.json"], &["ApiVersion"], 1),
    ];
    eprintln!("commands  requests  bytes  task");
    for (question, lines, answer, most) in tasks {
        world.requests();
        let shown: Vec<_> = lines.iter().map(|line| stdout(&shell(&docker, line))).collect();
        let (shown, asked) = (shown.join("\n"), world.requests());
        eprintln!("{:8}  {:8}  {:5}  {question}", lines.len(), asked.len(), shown.len());
        assert!(lines.len() <= 2, "{question}");
        for part in answer {
            assert!(shown.contains(part), "{question}: {part} is not in {shown}");
        }
        assert!(asked.len() <= most, "{question}: {asked:#?}");
    }
    drop(mounted);
    for name in ["task-fails", "task-stays"] {
        api.remove(name).expect("remove");
    }
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
