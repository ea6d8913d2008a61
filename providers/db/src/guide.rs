//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const fn table(pattern: &'static str, summary: &'static str, example: &'static str) -> Path {
    Path { requests: 1, ..Path::new(pattern, summary, example) }
}

pub const GUIDE: &[Path] = &[
    Path {
        entries: &["schema.sql", "rows.csv", "count", "rows/"],
        requests: 1,
        ..Path::new("{table}/", "a table or a view; rows/ of a table only", "albums/")
    },
    table(
        "{table}/schema.sql",
        "the statements that made it, its indexes among them",
        "albums/schema.sql",
    ),
    Path {
        search: Search::Again,
        ..table("{table}/rows.csv", "all rows, with a header", "albums/rows.csv")
    },
    table("{table}/count", "how many rows it has", "albums/count"),
    Path {
        requests: 2,
        page: Some(1000),
        ..Path::new("{table}/rows/{key}.json", "a row by its primary key", "albums/rows/1.json")
    },
];
