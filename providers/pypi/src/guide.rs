//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const VERSION: &[&str] = &["README", "METADATA", "metadata.json", "archives/", "files/"];

pub const GUIDE: &[Path] = &[
    Path {
        entries: &["_latest/", "versions/"],
        requests: 1,
        search: Search::Costly,
        ..Path::new(
            "{project}/",
            "a project by its normal name: lower case, with dashes",
            "my-tool/",
        )
    },
    Path {
        entries: VERSION,
        ..Path::costly(
            "{project}/_latest/{version}/",
            "a link to the newest final release",
            "my-tool/_latest/1.0/",
        )
    },
    Path::costly(
        "{project}/versions/{version}/README",
        "its description",
        "my-tool/versions/1.0/README",
    ),
    Path::costly(
        "{project}/versions/{version}/METADATA",
        "its core metadata: dependencies, classifiers",
        "my-tool/versions/1.0/METADATA",
    ),
    Path::costly(
        "{project}/versions/{version}/files/{archive}/**",
        "the files in a wheel or a source archive",
        "my-tool/versions/1.0/files/my_tool-1.0.tar.gz/pyproject.toml",
    ),
    Path::costly(
        "{project}/versions/{version}/archives/{archive}",
        "the archives themselves",
        "my-tool/versions/1.0/archives/my_tool-1.0.tar.gz",
    ),
];
