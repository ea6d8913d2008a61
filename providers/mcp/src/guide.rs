//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const fn listed(
    pattern: &'static str,
    summary: &'static str,
    example: &'static str,
    entries: &'static [&'static str],
) -> Path {
    Path { entries, requests: 1, each_open: true, ..Path::new(pattern, summary, example) }
}

pub const GUIDE: &[Path] = &[
    listed(
        "tools/{name}/",
        "a tool as it is described; none is ever called",
        "tools/echo/",
        &["title", "description", "parameters.tsv", "input-schema.json", "tool.json"],
    ),
    Path {
        search: Search::Costly,
        ..listed(
            "resources/{uri}/",
            "a resource by its URI, also one that is not listed",
            "resources/file:%2F%2F%2Fnotes.md/",
            &[
                "uri",
                "name",
                "title",
                "description",
                "mime-type",
                "size",
                "resource.json",
                "content",
                "contents/",
            ],
        )
    },
    listed(
        "templates/{uri-template}/",
        "what URIs are read beside those that are listed",
        "templates/file:%2F%2F%2F{name}/",
        &["uri-template", "name", "title", "description", "mime-type", "template.json"],
    ),
    Path {
        search: Search::Costly,
        ..listed(
            "prompts/{name}/",
            "a prompt; its messages where it needs no argument",
            "prompts/greeting/",
            &[
                "title",
                "description",
                "arguments.tsv",
                "prompt.json",
                "messages.md",
                "messages.json",
            ],
        )
    },
];
