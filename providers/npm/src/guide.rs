//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const VERSION: &[&str] = &["README", "files/", "integrity", "metadata.json", "package.tgz"];

pub const GUIDE: &[Path] = &[
    Path {
        entries: &["_latest/", "tags/", "versions/"],
        requests: 1,
        search: Search::Costly,
        ..Path::new("{package}/", "a package; the slash in a scoped name is %2F", "@acme%2Ftool/")
    },
    Path {
        entries: VERSION,
        ..Path::costly(
            "{package}/_latest/{version}/",
            "a link to the version that is installed where none is named",
            "left-pad/_latest/1.3.0/",
        )
    },
    Path::costly(
        "{package}/versions/{version}/README",
        "what its archive has to read",
        "left-pad/versions/1.3.0/README",
    ),
    Path::costly(
        "{package}/versions/{version}/files/**",
        "the files in its archive",
        "left-pad/versions/1.3.0/files/package.json",
    ),
    Path::costly(
        "{package}/versions/{version}/metadata.json",
        "its manifest, and whether it is deprecated",
        "left-pad/versions/1.3.0/metadata.json",
    ),
    Path::costly(
        "{package}/tags/{tag}/",
        "a link to the version that a tag names",
        "left-pad/tags/next/",
    ),
];
