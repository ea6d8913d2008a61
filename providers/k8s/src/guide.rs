//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const OBJECT: &[&str] = &["manifest.yaml", "status.yaml"];

pub const GUIDE: &[Path] = &[
    Path {
        entries: OBJECT,
        requests: 1,
        page: Some(500),
        ..Path::new(
            "{namespace}/{kind}/{name}/",
            "an object of any kind; a Secret shows lengths, not values",
            "default/deployments/web/",
        )
    },
    Path::costly(
        "{namespace}/pods/{name}/logs/{container}.log",
        "its log, which grows: `tail -f`",
        "default/pods/web-0/logs/web.log",
    ),
    Path {
        each_open: true,
        ..Path::costly(
            "{namespace}/{kind}/{name}/events.txt",
            "what has happened to it of late; in no listing",
            "default/pods/web-0/events.txt",
        )
    },
    Path {
        entries: OBJECT,
        search: Search::Enter,
        requests: 1,
        page: Some(500),
        ..Path::new(
            "_cluster/{kind}/{name}/",
            "what is in no namespace: nodes, namespaces, volumes, roles",
            "_cluster/nodes/worker-1/",
        )
    },
];
