//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const IMAGE: &[&str] =
    &["digest", "manifest.json", "config.json", "layers/", "platforms/", "files/"];

pub const GUIDE: &[Path] = &[
    Path {
        entries: IMAGE,
        requests: 1,
        page: Some(1000),
        search: Search::Costly,
        ..Path::new(
            "{repository}/tags/{tag}/",
            "what a tag leads to; a slash in the repository's name is %2F",
            "acme%2Fapi/tags/1.0/",
        )
    },
    Path::costly(
        "{repository}/tags/{tag}/manifest.json",
        "the bytes that the registry answers",
        "acme%2Fapi/tags/1.0/manifest.json",
    ),
    Path {
        requests: 2,
        ..Path::costly(
            "{repository}/tags/{tag}/config.json",
            "entry point, environment, history of the image",
            "acme%2Fapi/tags/1.0/config.json",
        )
    },
    Path::costly(
        "{repository}/tags/{tag}/layers/{number-hash}",
        "archives, in the order in which they are applied",
        "acme%2Fapi/tags/1.0/layers/000-0123456789ab.tar.gz",
    ),
    Path {
        requests: 2,
        ..Path::costly(
            "{repository}/tags/{tag}/files/**",
            "the image's files, if its layers are small",
            "acme%2Fapi/tags/1.0/files/etc/os-release",
        )
    },
    Path {
        entries: IMAGE,
        ..Path::costly(
            "{repository}/tags/{tag}/platforms/{platform}/",
            "the images of an index",
            "acme%2Fapi/tags/1.0/platforms/linux-arm64/",
        )
    },
    Path {
        entries: IMAGE,
        ..Path::costly(
            "{repository}/digests/{digest}/",
            "the same by sha256:HEX, found by its name",
            "acme%2Fapi/digests/sha256:0123/",
        )
    },
];
