//! What people and their agents ask of GitHub, each answered by a line or two of shell: the requests of each,
//! from nothing in memory, and the bytes that it prints. `cargo test --test github tasks -- --nocapture`
//! shows the table. Linear's and Docker's are in their own tests.

use crate::{API, World};
use omnifs_support::tools::shell;

struct Task {
    question: &'static str,
    lines: &'static [&'static str],
    /// What the answer holds.
    answer: &'static [&'static str],
    /// Requests at most; one of them is for the account with its repositories.
    requests: usize,
}

const TASKS: &[Task] = &[
    Task {
        question: "which issue is about token refresh",
        lines: &["grep -i 'token refresh' _issues/_open.tsv"],
        answer: &["2853\topen\t"],
        requests: 3,
    },
    Task {
        question: "who is on it",
        lines: &["cat _issues/2853/assignees"],
        answer: &["priya-n"],
        requests: 3,
    },
    Task {
        question: "which pull request closes it",
        lines: &["cat _issues/2853/linked"],
        answer: &["acme/api\t2860\topen\ttrue\t"],
        requests: 5,
    },
    Task {
        question: "what changed since Christmas",
        lines: &["find _issues/_recent/ -newermt '2025-12-26 00:00Z' -printf '%f\\n'"],
        answer: &["2853", "2849"],
        requests: 3,
    },
    Task {
        question: "what failed in CI, and why",
        lines: &["ls _actions/_failed", "cat _actions/_failed/9801/run.md"],
        answer: &["9801", "failure: test (ubuntu-24.04, 1.95)", "##[error]"],
        requests: 7,
    },
    Task {
        question: "which pull request touches src/session.rs",
        lines: &["grep -l src/session.rs _prs/_open/*/files"],
        answer: &["_prs/_open/2860/files"],
        requests: 5,
    },
    Task {
        question: "which open issues are about authentication",
        lines: &["ls _issues/_by-label/auth"],
        answer: &["2841", "2853"],
        requests: 3,
    },
    Task {
        question: "what is priya working on",
        lines: &["head -n 1 _issues/_by-assignee/priya-n/*/title"],
        answer: &["Login fails after token refresh"],
        requests: 3,
    },
    Task {
        question: "what is new in the latest release",
        lines: &["cat _releases/latest/notes.md"],
        answer: &["TLS 1.1 is gone"],
        requests: 5,
    },
    Task {
        question: "is the main branch green",
        lines: &["awk -F'\\t' '$7 == \"main\" {print $3; exit}' _actions/runs.tsv"],
        answer: &["success"],
        requests: 3,
    },
];

#[test]
fn each_task_takes_two_commands_at_most_and_few_requests() {
    let Some(world) = World::demo("tasks") else { return };
    eprintln!("commands  requests  bytes  task");
    for Task { question, lines, answer, requests } in TASKS {
        let mounted = world.mount();
        let shown: Vec<String> = lines
            .iter()
            .map(|line| shell(&mounted.join("."), &format!("cd {API} && {line}")))
            .collect();
        let shown = shown.join("\n");
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
