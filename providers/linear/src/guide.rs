//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::Path;

const fn listed(
    pattern: &'static str,
    summary: &'static str,
    example: &'static str,
    entries: &'static [&'static str],
) -> Path {
    Path { entries, requests: 1, page: Some(50), ..Path::new(pattern, summary, example) }
}

pub const GUIDE: &[Path] = &[
    listed(
        "teams/{TEAM}/issues/_all/{TEAM-n}/",
        "an issue",
        "teams/ENG/issues/_all/ENG-204/",
        &[
            "title",
            "description.md",
            "state",
            "priority",
            "assignee",
            "labels",
            "estimate",
            "cycle",
            "project",
            "parent",
            "due",
            "created",
            "updated",
            "url",
            "comments/",
            "issue.md",
            "issue.json",
        ],
    ),
    listed(
        "teams/{TEAM}/issues/{_open,_all}.tsv",
        "a line for each",
        "teams/ENG/issues/_open.tsv",
        &[],
    ),
    Path {
        each_open: true,
        ..Path::costly(
            "teams/{TEAM}/issues/_search/{words}/",
            "what Linear finds",
            "teams/ENG/issues/_search/login/",
        )
    },
    Path::again(
        "teams/{TEAM}/issues/_open/{TEAM-n}/",
        "those that are not done",
        "teams/ENG/issues/_open/ENG-204/",
    ),
    Path::again(
        "teams/{TEAM}/issues/by-state/{state}/{TEAM-n}/",
        "by state",
        "teams/ENG/issues/by-state/Done/ENG-188/",
    ),
    Path::again("my/{assigned,created}/{TEAM-n}/", "of the token's owner", "my/created/ENG-204/"),
    listed(
        "teams/{TEAM}/cycles/{number}/",
        "a cycle",
        "teams/ENG/cycles/12/",
        &["name", "starts", "ends", "completed", "description.md", "cycle.json"],
    ),
    listed(
        "projects/{name}/",
        "a project",
        "projects/Sign-in/",
        &[
            "name",
            "status",
            "lead",
            "teams",
            "start",
            "target",
            "description.md",
            "content.md",
            "project.json",
        ],
    ),
    Path::again("teams/{TEAM}/projects/{name}/", "of one team", "teams/ENG/projects/Sign-in/"),
    listed(
        "users/{name}/",
        "a person",
        "users/priya/",
        &["name", "email", "title", "timezone", "active", "user.json"],
    ),
    Path {
        requests: 1,
        each_open: true,
        ..Path::again("teams/{TEAM}/members/{name}/", "who is in it", "teams/ENG/members/priya/")
    },
    listed(
        "teams/{TEAM}/states/{name}/",
        "a state that issues can have",
        "teams/ENG/states/Done/",
        &["type", "position", "description.md", "state.json"],
    ),
    Path::again(
        "teams/{TEAM}/issues/{_by-label,_by-assignee,_by-creator,_by-project,_mine}/",
        "links",
        "teams/ENG/issues/_by-label/",
    ),
    Path::again(
        "teams/{TEAM}/issues/_open.jsonl",
        "the table as JSON",
        "teams/ENG/issues/_open.jsonl",
    ),
];
