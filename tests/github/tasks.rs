//! What people and their agents ask of GitHub, each answered by a line or two of shell: the requests of each,
//! from nothing in memory, and the bytes that it prints. `cargo test --test github tasks -- --nocapture`
//! shows the table. Linear's and Docker's are in their own tests.

use crate::World;
use omnifs_support::tasks::{GITHUB, Task};
use omnifs_support::tools::shell;

#[test]
fn each_task_takes_two_commands_at_most_and_few_requests() {
    let Some(world) = World::demo("tasks") else { return };
    eprintln!("commands  requests  bytes  task");
    for Task { question, place, lines, answer, requests } in GITHUB {
        let mounted = world.mount();
        let run = |line| shell(&mounted.join("."), &format!("cd {place} && {line}"));
        let shown = lines.iter().map(run).collect::<Vec<_>>().join("\n");
        let asked = world.requests();
        eprintln!("{:8}  {:8}  {:5}  {question}", lines.len(), asked.len(), shown.len());
        assert!(lines.len() <= 2, "{question}");
        for part in *answer {
            assert!(shown.contains(part), "{question}: {part} is not in {shown}");
        }
        assert!(asked.len() <= *requests, "{question}: {asked:#?}");
        assert!(shown.len() < 4_000, "{question}: {} bytes", shown.len());
    }
}
