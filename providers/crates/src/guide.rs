//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const VERSION: &[&str] = &["README", "checksum", "files/", "metadata.json", "package.crate"];

pub const GUIDE: &[Path] = &[
    Path {
        entries: &["_latest/", "versions/"],
        requests: 1,
        search: Search::Costly,
        ..Path::new("{crate}/", "a crate, found by its name", "my-crate/")
    },
    Path {
        entries: VERSION,
        ..Path::costly(
            "{crate}/_latest/{version}/",
            "a link to the highest release that is not yanked",
            "my-crate/_latest/1.0.0/",
        )
    },
    Path::costly(
        "{crate}/versions/{version}/files/**",
        "the files in its archive",
        "my-crate/versions/1.0.0/files/src/lib.rs",
    ),
    Path::costly(
        "{crate}/versions/{version}/README",
        "what its archive has to read",
        "my-crate/versions/1.0.0/README",
    ),
    Path::costly(
        "{crate}/versions/{version}/metadata.json",
        "its dependencies and features, and whether it is yanked",
        "my-crate/versions/1.0.0/metadata.json",
    ),
];
