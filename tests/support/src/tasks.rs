//! What people and their agents ask of services, each answered by a line or two of shell in a mount. The tests
//! of each service run its tasks and count; `tests/agents` sets some of them against other ways to ask.

/// A question, and the lines that answer it.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub question: &'static str,
    /// Below the mount, where the lines are run.
    pub place: &'static str,
    pub lines: &'static [&'static str],
    /// What the answer holds.
    pub answer: &'static [&'static str],
    /// Requests at most, with nothing in memory. GitHub's and Linear's count one for the account or the team.
    pub requests: usize,
}

impl Task {
    /// The line of shell that answers it all from the mount's root.
    pub fn line(&self) -> String {
        format!("cd {} && {}", self.place, self.lines.join(" && "))
    }
}

/// The task of this question, of whichever service. Panics where there is none.
pub fn task(question: &str) -> &'static Task {
    let mut all = GITHUB.iter().chain(DOCKER).chain(LINEAR);
    all.find(|task| task.question == question).unwrap_or_else(|| panic!("no task: {question}"))
}

const API: &str = "github/acme/api";

/// Of the small world of the demonstration.
pub const GITHUB: &[Task] = &[
    Task {
        question: "which issue is about token refresh",
        place: API,
        lines: &["grep -i 'token refresh' _issues/_open.tsv"],
        answer: &["2853\topen\t"],
        requests: 3,
    },
    Task {
        question: "who is on it",
        place: API,
        lines: &["cat _issues/2853/assignees"],
        answer: &["priya-n"],
        requests: 3,
    },
    Task {
        question: "which pull request closes it",
        place: API,
        lines: &["cat _issues/2853/linked"],
        answer: &["acme/api\t2860\topen\ttrue\t"],
        requests: 5,
    },
    Task {
        question: "which issues changed since Christmas",
        place: API,
        lines: &["find -L _issues/_recent -maxdepth 2 -name title -newermt '2025-12-26 00:00Z' \
             -printf '%P ' -exec cat {} ';'"],
        answer: &["2853/title Login fails after token refresh", "2849/title "],
        requests: 3,
    },
    Task {
        question: "what failed in CI, and why",
        place: API,
        lines: &["ls _actions/_failed", "cat _actions/_failed/9801/run.md"],
        answer: &["9801", "failure: test (ubuntu-24.04, 1.95)", "##[error]"],
        requests: 7,
    },
    Task {
        question: "which pull request touches src/session.rs",
        place: API,
        lines: &["grep -l src/session.rs _prs/_open/*/files"],
        answer: &["_prs/_open/2860/files"],
        requests: 5,
    },
    Task {
        question: "which open issues are about authentication, and who has them",
        place: API,
        lines: &[r"awk -F'\t' '$6 ~ /auth/ {print $1, $5, $7}' _issues/_open.tsv"],
        answer: &["2841  Allow several API keys", "2853 priya-n Login fails"],
        requests: 3,
    },
    Task {
        question: "what is priya working on",
        place: API,
        lines: &["head -n 1 _issues/_by-assignee/priya-n/*/title"],
        answer: &["Login fails after token refresh"],
        requests: 3,
    },
    Task {
        question: "what is new in the latest release",
        place: API,
        lines: &["cat _releases/latest/notes.md"],
        answer: &["TLS 1.1 is gone"],
        requests: 6,
    },
    Task {
        question: "is the main branch green",
        place: API,
        lines: &[r#"awk -F'\t' '$7 == "main" {print $3; exit}' _actions/runs.tsv"#],
        answer: &["success"],
        requests: 3,
    },
    Task {
        question: "what does the code do on a refresh",
        place: API,
        lines: &["grep -rn -A 3 'fn refresh' _repo/src"],
        answer: &["session.rs", "self.store(id, token);"],
        requests: 12,
    },
];

/// Of an engine with [`containers`].
pub const DOCKER: &[Task] = &[
    Task {
        question: "which containers ended, and why",
        place: "docker",
        lines: &[
            r"grep -P '\texited\t' containers.tsv | cut -f1,5",
            "tail -n 1 containers/_stopped/task-worker/stderr.log",
        ],
        answer: &["task-worker\tExited (3)", "no database"],
        requests: 3,
    },
    Task {
        question: "which containers restarted, and why",
        place: "docker",
        lines: &[
            "grep -vx 0 containers/by-name/*/restart-count",
            "tail -n 1 containers/by-name/task-worker/{exit-code,stderr.log}",
        ],
        answer: &["task-worker/restart-count:2", "\n3\n", "no database"],
        requests: 12,
    },
    Task {
        question: "which containers use the most memory",
        place: "docker",
        lines: &[
            r#"jq -r '"\(.memory_stats.usage) \(.name)"' containers/_running/*/stats.json | sort -rn"#,
        ],
        answer: &["/task-api", "/task-db"],
        requests: 20,
    },
    Task {
        question: "what runs in a container",
        place: "docker",
        lines: &["cat containers/by-name/task-db/top"],
        answer: &["PID", "sleep 3600"],
        requests: 3,
    },
    Task {
        question: "which engine is this",
        place: "docker",
        lines: &["grep -h ApiVersion system/version.json"],
        answer: &["ApiVersion"],
        requests: 1,
    },
];

/// Of the workspace of the demonstration.
pub const LINEAR: &[Task] = &[
    Task {
        question: "which issue is about auth tokens",
        place: "linear/teams/ENG/issues",
        lines: &["grep -i 'auth token' _open.tsv | cut -f1"],
        answer: &["ENG-204"],
        requests: 2,
    },
    Task {
        question: "who rotates the auth tokens",
        place: "linear/teams/ENG/issues",
        lines: &["cat ENG-204/assignee"],
        answer: &["priya"],
        requests: 2,
    },
    Task {
        question: "which issues carry the label auth",
        place: "linear/teams/ENG/issues",
        lines: &["ls _by-label/auth"],
        answer: &["ENG-204"],
        requests: 2,
    },
    Task {
        question: "where was the race discussed",
        place: "linear/teams/ENG/issues",
        lines: &["cut -f1 '_search/race cache/results.tsv'"],
        answer: &["ENG-204"],
        requests: 3,
    },
    Task {
        question: "which open issues are urgent or of high priority, and who has them",
        place: "linear/teams/ENG/issues",
        lines: &[r"awk -F'\t' '$3 ~ /Urgent|High/ {print $1, $3, $6}' _open.tsv"],
        answer: &["ENG-199 Urgent lars", "ENG-204 High priya"],
        requests: 2,
    },
];

/// The containers that [`DOCKER`] asks about.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Containers<'a>(&'a crate::engine::Api);

/// Makes them: two that run, and one that has failed and was started again until its engine gave up.
///
/// # Errors
/// What the engine refuses.
#[cfg(target_os = "linux")]
pub fn containers(api: &crate::engine::Api) -> std::io::Result<Containers<'_>> {
    use crate::{Container, wait_until};
    let made = Containers(api);
    let serve = ["sh", "-c", "echo ready; exec sleep 3600"];
    let fails = ["sh", "-c", "echo no database >&2; exit 3"];
    for (name, command, restart) in [
        ("task-api", &serve[..], "no"),
        ("task-db", &serve[..], "no"),
        ("task-worker", &fails[..], "on-failure:2"),
    ] {
        api.run(&Container { name, command, restart, ..Container::default() })?;
    }
    let given_up = || {
        let worker = api.inspect("task-worker").ok()?;
        (worker["State"]["Status"] == "exited" && worker["RestartCount"] == 2).then_some(())
    };
    let limit = std::time::Duration::from_secs(180);
    wait_until(limit, given_up).ok_or_else(|| std::io::Error::other("task-worker goes on"))?;
    Ok(made)
}

#[cfg(target_os = "linux")]
impl Drop for Containers<'_> {
    fn drop(&mut self) {
        for name in ["task-api", "task-db", "task-worker"] {
            // One that was not made is not there.
            let _ = self.0.remove(name);
        }
    }
}
