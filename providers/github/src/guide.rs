//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::Path;

pub const GUIDE: &[Path] = &[
    Path {
        entries: &[
            "title",
            "body",
            "state",
            "author",
            "labels",
            "assignees",
            "milestone",
            "created",
            "updated",
            "closed",
            "url",
            "comments/",
            "issue.md",
            "issue.json",
        ],
        requests: 1,
        page: Some(100),
        ..Path::new(
            "{owner}/{repo}/_issues/{_open,_closed}/{number}/",
            "an issue",
            "acme/api/_issues/_open/2853/",
        )
    },
    Path {
        entries: &["draft", "merged", "base", "head", "reviews/", "pull.md", "pull.json"],
        requests: 1,
        page: Some(100),
        ..Path::new(
            "{owner}/{repo}/_prs/{_open,_closed}/{number}/",
            "a pull request: as an issue, and",
            "acme/api/_prs/_open/2860/",
        )
    },
    Path {
        requests: 1,
        page: Some(100),
        ..Path::new(
            "{owner}/{repo}/{_issues,_prs}/{_open.tsv,_open.jsonl}",
            "a line for each",
            "acme/api/_issues/_open.tsv",
        )
    },
    Path {
        each_open: true,
        ..Path::costly(
            "{owner}/{repo}/{_issues,_prs}/_search/{query}/",
            "what GitHub finds",
            "acme/api/_issues/_search/login/",
        )
    },
    Path {
        each_open: true,
        ..Path::costly(
            "{owner}/{repo}/_search/{code,commits}/{query}/",
            "what GitHub finds",
            "acme/api/_search/code/login/",
        )
    },
    Path::costly(
        "{owner}/{repo}/_prs/{_open,_closed}/{number}/{diff,patch,commits,files}",
        "of a pull request",
        "acme/api/_prs/_open/2860/diff",
    ),
    Path {
        each_open: true,
        ..Path::costly(
            "{owner}/{repo}/_prs/{_open,_closed}/{number}/checks",
            "its checks",
            "acme/api/_prs/_open/2860/checks",
        )
    },
    Path {
        entries: &["status", "conclusion", "name", "event", "branch", "sha", "run.json", "jobs/"],
        requests: 1,
        page: Some(100),
        ..Path::new("{owner}/{repo}/_actions/runs/{id}/", "a run", "acme/api/_actions/runs/9801/")
    },
    Path::costly(
        "{owner}/{repo}/_actions/runs/{id}/log",
        "logs of all its jobs",
        "acme/api/_actions/runs/9801/log",
    ),
    Path {
        entries: &["status", "conclusion", "log"],
        ..Path::costly(
            "{owner}/{repo}/_actions/runs/{id}/jobs/{job}/",
            "a job",
            "acme/api/_actions/runs/9801/jobs/build/",
        )
    },
    Path {
        entries: &["state", "path", "workflow.json"],
        requests: 1,
        ..Path::new(
            "{owner}/{repo}/_actions/workflows/{name}/",
            "a workflow",
            "acme/api/_actions/workflows/CI/",
        )
    },
    Path::again(
        "{owner}/{repo}/_actions/workflows/{name}/runs/",
        "its runs",
        "acme/api/_actions/workflows/CI/runs/",
    ),
    Path {
        entries: &["notes.md", "release.json", "assets/"],
        requests: 1,
        page: Some(100),
        ..Path::new("{owner}/{repo}/_releases/{tag}/", "a release", "acme/api/_releases/v1.8.0/")
    },
    Path::costly(
        "{owner}/{repo}/_releases/{tag}/assets/{file}",
        "an asset",
        "acme/api/_releases/v1.8.0/assets/SHA256SUMS",
    ),
    Path::costly(
        "{owner}/{repo}/_repo/**",
        "code of the default branch",
        "acme/api/_repo/src/main.rs",
    ),
    Path::costly(
        "{owner}/{repo}/_tree/{ref}/**",
        "code of a branch, tag or commit",
        "acme/api/_tree/main/src/main.rs",
    ),
    Path {
        requests: 1,
        page: Some(100),
        ..Path::new(
            "{owner}/{repo}/{_branches,_tags}/{name}",
            "its commit",
            "acme/api/_branches/main",
        )
    },
    Path {
        entries: &["README.md", "repo.json"],
        requests: 1,
        ..Path::new("{owner}/{repo}/", "a repository", "acme/api/")
    },
    Path::again(
        "{owner}/{repo}/{_issues,_prs}/_all/",
        "open and closed ones",
        "acme/api/_issues/_all/",
    ),
    Path::again(
        "{owner}/{repo}/{_issues,_prs}/{_by-label,_by-assignee,_by-author,_by-milestone,_recent,_mine}/",
        "links",
        "acme/api/_issues/_by-label/",
    ),
];
