//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

pub const GUIDE: &[Path] = &[
    Path {
        entries: &["schema.sql", "rows.csv", "count", "rows/"],
        requests: 1,
        ..Path::new(
            "{schema}/{table}/",
            "a table or a view; rows/ where it has a primary key",
            "public/albums/",
        )
    },
    Path {
        requests: 3,
        ..Path::new(
            "{schema}/{table}/schema.sql",
            "its columns, constraints and indexes",
            "public/albums/schema.sql",
        )
    },
    Path {
        requests: 1,
        search: Search::Again,
        ..Path::new(
            "{schema}/{table}/rows.csv",
            "all rows, with a header",
            "public/albums/rows.csv",
        )
    },
    Path {
        requests: 1,
        ..Path::new("{schema}/{table}/count", "how many rows it has", "public/albums/count")
    },
    Path {
        requests: 2,
        page: Some(1000),
        ..Path::new(
            "{schema}/{table}/rows/{key}.json",
            "a row by its primary key",
            "public/albums/rows/1.json",
        )
    },
];
