//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::Path;

const fn listed(
    pattern: &'static str,
    summary: &'static str,
    example: &'static str,
    entries: &'static [&'static str],
) -> Path {
    Path { entries, requests: 1, ..Path::new(pattern, summary, example) }
}

pub const GUIDE: &[Path] = &[
    listed(
        "containers/by-name/{name}/",
        "a container",
        "containers/by-name/api-server/",
        &[
            "id",
            "name",
            "image",
            "state",
            "status",
            "exit-code",
            "health",
            "created",
            "started",
            "finished",
            "command",
            "ports",
            "labels/",
            "mounts",
            "networks",
            "restart-count",
            "inspect.json",
        ],
    ),
    listed("containers.tsv", "a line for each container", "containers.tsv", &[]),
    Path::again("containers.jsonl", "the table as JSON", "containers.jsonl"),
    Path::costly(
        "containers/by-name/{name}/{logs,stdout.log,stderr.log}",
        "its log, which grows: `tail -f`",
        "containers/by-name/api-server/logs",
    ),
    Path::again(
        "containers/{by-id,_running,_stopped}/{name}/",
        "the same containers",
        "containers/_running/api-server/",
    ),
    Path::again(
        "compose/{project}/{service}/{name}/",
        "by compose project",
        "compose/shop/web/shop-web-1/",
    ),
    listed(
        "images/by-name/{name}/",
        "an image; `/` in its name is `%2F`",
        "images/by-name/debian:13/",
        &[
            "id",
            "tags",
            "digests",
            "created",
            "size",
            "architecture",
            "os",
            "labels/",
            "inspect.json",
            "history.json",
        ],
    ),
    Path {
        requests: 1,
        each_open: true,
        ..Path::again(
            "images/by-id/{id}/",
            "also those without a name",
            "images/by-id/1f2e3d4c5b6a/",
        )
    },
    listed(
        "volumes/{name}/",
        "a volume",
        "volumes/data/",
        &["name", "driver", "mountpoint", "scope", "labels/", "options/", "inspect.json"],
    ),
    Path {
        each_open: true,
        ..listed(
            "networks/{name}/",
            "a network",
            "networks/bridge/",
            &[
                "id",
                "driver",
                "scope",
                "internal",
                "subnets",
                "containers",
                "labels/",
                "options/",
                "inspect.json",
            ],
        )
    },
    listed("{info.json,version.json}", "the engine itself", "info.json", &[]),
];
