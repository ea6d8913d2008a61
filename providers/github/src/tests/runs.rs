//! Workflows, runs, jobs and logs.

use super::*;

fn run(id: u64, status: &str) -> Value {
    json!({
        "id": id, "name": "CI", "status": status,
        "conclusion": (status == "completed").then_some("failure"), "event": "push",
        "head_branch": "main", "head_sha": "c1", "run_attempt": 2, "workflow_id": 40,
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:05:05Z",
        "html_url": "page", "repository": {"id": 7}, "head_repository": {"id": 7},
    })
}

fn job(id: u64, name: &str, status: &str, conclusion: Option<&str>) -> Value {
    json!({
        "id": id, "run_id": 9801, "name": name, "status": status, "conclusion": conclusion,
        "started_at": "2026-01-02T03:04:05Z", "completed_at": null,
    })
}

fn runs() -> Recorded {
    let jobs = json!({"total_count": 4, "jobs": [
        job(1, "build", "completed", Some("success")),
        job(2, "test / unit", "completed", Some("failure")),
        job(3, "deploy", "completed", Some("skipped")),
        job(4, "build", "in_progress", None),
    ]});
    let at = format!("{REPO}/actions");
    acme()
        .get(&format!("{at}/runs/9801"), run(9801, "completed").to_string())
        .get(&format!("{at}/runs/9802"), run(9802, "in_progress").to_string())
        .get(&format!("{at}/runs/9801/jobs?per_page=100"), jobs.to_string())
        .get(&format!("{at}/runs/9802/jobs?per_page=100"), r#"{"jobs": []}"#)
        .get(&format!("{at}/jobs/1/logs"), "one\n")
        .answer(&format!("GET {at}/jobs/2/logs"), 410, &[], "")
        .get(&format!("{at}/jobs/1"), jobs["jobs"][0].to_string())
        .get(&format!("{at}/jobs/2"), jobs["jobs"][1].to_string())
        .get(&format!("{at}/jobs/4"), jobs["jobs"][3].to_string())
}

const RUN: &str = "acme/api/_actions/runs/9801";

#[test]
fn a_run_costs_one_request_and_its_jobs_another() {
    let mount = mount(runs());
    let read = |leaf: &str| mount.read(&format!("{RUN}/{leaf}")).unwrap();
    for (leaf, text) in [
        ("status", "completed\n"),
        ("conclusion", "failure\n"),
        ("name", "CI\n"),
        ("branch", "main\n"),
        ("sha", "c1\n"),
        ("attempt", "2\n"),
    ] {
        assert_eq!(read(leaf), text, "{leaf}");
    }
    assert!(!read("run.json").contains("repository"));
    assert_eq!(mount.requests().len(), 3);
    let names = ["build", "build@4", "deploy", "test %2F unit"];
    assert_eq!(mount.list(&format!("{RUN}/jobs")).unwrap(), names);
    assert_eq!(read("jobs/test %2F unit/conclusion"), "failure\n");
    assert_eq!(read("jobs/deploy/log"), "", "a skipped job has no log");
    assert_eq!(mount.requests().len(), 1);
}

#[test]
fn a_runs_log_is_that_of_its_jobs_and_fills_theirs() {
    let mount = mount(runs());
    mount.list(&format!("{RUN}/jobs")).unwrap();
    let log = mount.read(&format!("{RUN}/log")).unwrap();
    let parts = [
        "==> build <==\none\n",
        "==> test / unit <==\nThis log has expired: GitHub has deleted it.\n",
        "==> deploy <==\n",
        "==> build <==\n",
    ];
    assert_eq!(log, parts.join("\n"));
    mount.requests();
    assert_eq!(mount.read(&format!("{RUN}/jobs/build/log")).unwrap(), "one\n");
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn the_log_of_what_still_runs_is_asked_for_at_each_open() {
    let mount = mount(runs());
    assert_eq!(mount.read("acme/api/_actions/runs/9802/log").unwrap(), "");
    mount.requests();
    assert_eq!(mount.read("acme/api/_actions/runs/9802/log").unwrap(), "");
    assert!(!mount.requests().is_empty());
    assert_eq!(mount.read(&format!("{RUN}/jobs/build@4/log")).unwrap(), "");
}

#[test]
fn a_workflow_shows_its_runs() {
    let workflow = json!({
        "id": 40, "name": "CI", "path": ".github/workflows/ci.yml", "state": "active",
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
        "html_url": "page",
    });
    let other = {
        let mut other = workflow.clone();
        other["id"] = json!(41);
        other
    };
    let at = format!("{REPO}/actions/workflows");
    let upstream = runs()
        .get(&format!("{at}?per_page=100"), json!({"workflows": [workflow, other]}).to_string())
        .get(
            &format!("{at}/40/runs?per_page=100"),
            json!({"workflow_runs": [run(9801, "completed")]}).to_string(),
        );
    let mount = mount(upstream);
    let workflows = "acme/api/_actions/workflows";
    assert_eq!(mount.list(workflows).unwrap(), ["CI", "CI@41"]);
    assert_eq!(mount.read(&format!("{workflows}/CI/path")).unwrap(), ".github/workflows/ci.yml\n");
    assert_eq!(mount.list(&format!("{workflows}/CI/runs")).unwrap(), ["9801"]);
    assert_eq!(
        mount.stat(&format!("{workflows}/CI/runs/9801")).unwrap().id,
        mount.stat(RUN).unwrap().id
    );
    assert_eq!(mount.requests().len(), 2 + 3);
}

#[test]
fn a_log_that_is_not_there_yet_is_asked_for_again_and_one_that_expired_says_so() {
    let logs = format!("GET {REPO}/actions/jobs/1/logs");
    let ended = |at: Option<&str>| {
        let mut job = job(1, "build", "completed", Some("success"));
        job["completed_at"] = json!(at);
        let jobs = json!({"jobs": [job]}).to_string();
        Recorded::new()
            .get(&format!("{REPO}/actions/jobs/1"), job.to_string())
            .get(&format!("{REPO}/actions/runs/9801/jobs?per_page=100"), jobs)
    };
    let read = |completed: Option<&str>, status: u16| {
        let date = [("date", "Sun, 22 Nov 2026 13:09:20 GMT")];
        let mount = mount(runs());
        mount.upstream_changes(ended(completed).answer(&logs, status, &date, ""));
        let first = mount.read(&format!("{RUN}/jobs/build/log"));
        // And in the seconds after that it is there.
        mount
            .upstream_changes(Recorded::new().get(&format!("{REPO}/actions/jobs/1/logs"), "one\n"));
        (first, mount.read(&format!("{RUN}/jobs/build/log")))
    };
    let expired = "This log has expired: GitHub has deleted it.\n";
    for (completed, status, gone) in [
        (Some("2026-11-22T13:09:15Z"), 404, false),
        (Some("2026-11-22T12:30:00Z"), 404, false),
        (None, 404, false),
        (Some("2026-11-22T12:00:00Z"), 404, true),
        (Some("2026-11-22T13:09:15Z"), 410, true),
    ] {
        let (first, then) = read(completed, status);
        if gone {
            assert_eq!((first.unwrap().as_str(), then.unwrap().as_str()), (expired, expired));
        } else {
            assert!(matches!(first, Err(omnifs_sdk::Error::Unavailable(_))), "{first:?}");
            assert_eq!(then.unwrap(), "one\n", "{completed:?}");
        }
    }
    let (empty, _) = read(Some("2026-11-22T13:09:15Z"), 200);
    assert_eq!(empty.unwrap(), "", "a log without a line is no expired one");
}

fn listed(runs: &[Value]) -> Recorded {
    super::pages_of(acme(), &format!("{REPO}/actions/runs"), "workflow_runs", runs)
}

#[test]
fn a_table_of_runs_and_the_failed_ones_come_with_the_listing() {
    let mut fine = run(9803, "completed");
    fine["conclusion"] = json!("success");
    fine["display_title"] = json!("Say\tno\nmore");
    let mount = mount(listed(&[run(9801, "completed"), run(9802, "in_progress"), fine]));
    let actions = "acme/api/_actions";
    let table = mount.read(&format!("{actions}/runs.tsv")).unwrap();
    let head = "id\tstatus\tconclusion\tupdated\tworkflow\tevent\tbranch\tsha\tattempt\ttitle";
    assert_eq!(table.lines().next().unwrap(), head);
    let row =
        "9803\tcompleted\tsuccess\t2026-01-02T03:05:05Z\tCI\tpush\tmain\tc1\t2\tSay\\tno\\nmore";
    assert_eq!(table.lines().nth(3).unwrap(), row);
    assert_eq!(mount.requests().len(), 3);
    mount.list(actions).unwrap();
    assert_eq!(mount.list(&format!("{actions}/_failed")).unwrap(), ["9801"]);
    assert_eq!(mount.read(&format!("{actions}/_failed/9801")).unwrap(), "../runs/9801");
    mount.read(&format!("{actions}/runs/9801/status")).unwrap();
    mount.read(&format!("{actions}/runs.jsonl")).unwrap();
    assert!(mount.requests().len() <= 1, "the listing holds them");
    mount.list(&format!("{actions}/runs")).unwrap();
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_runs_page_shows_what_failed_and_how_its_log_ends() {
    let mut failed = job(2, "test / unit", "completed", Some("failure"));
    failed["steps"] = json!([
        {"name": "Set up", "status": "completed", "conclusion": "success", "number": 1},
        {"name": "Run tests", "status": "completed", "conclusion": "failure", "number": 2},
    ]);
    let jobs = json!({"jobs": [job(1, "build", "completed", Some("success")), failed]});
    let at = format!("{REPO}/actions");
    let lines: String = (1..=100).map(|n| format!("line {n}\n")).collect();
    let upstream = acme()
        .get(&format!("{at}/runs/9801"), run(9801, "completed").to_string())
        .get(&format!("{at}/runs/9801/jobs?per_page=100"), jobs.to_string())
        .get(&format!("{at}/jobs/1/logs"), "one\n")
        .get(&format!("{at}/jobs/2/logs"), format!("{lines}##[error]It broke\nclean up\n"));
    let mount = mount(upstream);
    let page = mount.read(&format!("{RUN}/run.md")).unwrap();
    assert!(page.starts_with("## failure: test / unit\n"), "{page}");
    for line in
        ["- success: Set up", "- **failure: Run tests**", "    line 100", "- success: build"]
    {
        assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
    }
    assert!(page.contains("    ##[error]It broke\n"), "{page}");
    assert!(!page.contains("clean up") && !page.contains("    line 71\n"), "{page}");
    // Owner, repository, run, once more for a name that is not listed, jobs, and the log of the one that failed.
    assert_eq!(mount.requests().len(), 6);
    mount.read(&format!("{RUN}/log")).unwrap();
    assert_eq!(mount.read(&format!("{RUN}/run.md")).unwrap(), page);
}
