//! The tree over recorded statements.

use omnifs_pg::Pg;
use omnifs_sdk::Error;
use omnifs_sdk::sql::Value;
use omnifs_sdk::testing::{Mount, Recorded};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn upstream() -> Recorded {
    let kind = ["relname", "relkind", "told", "columns"];
    let table = |name: &str, told: &str, columns| {
        [text(name), text("r"), text(told), Value::Integer(columns)]
    };
    let row = |json: &str, a: &str, b: &str| [text(json), text(a), text(b)];
    let tracks = ["row", "album", "name"];
    Recorded::new()
        .table("schemas()", "s", ["nspname"], [[text("public")]])
        .table("schema(public)", "s", ["nspname"], [[text("public")]])
        .table("schema(pg_catalog)", "s", ["nspname"], [])
        .table(
            "tables(public)",
            "s",
            kind,
            [table("cheap", "f", 0), table("notes", "t", 0), table("tracks", "t", 2)],
        )
        .table("table(public, tracks)", "s", kind, [table("tracks", "t", 2)])
        .table("key(public, tracks)", "s", ["attname"], [[text("album")], [text("name")]])
        .table(
            "keyed-2(public, tracks, 1001, album, name)",
            "s",
            tracks,
            [row("{}", "1", "a,b"), row("{}", "1", "~")],
        )
        .table("by-2(public, tracks, album, 1, name, a,b)", "s", tracks, [row("{}", "1", "a,b")])
        // What the server takes for the same, and writes in another way.
        .table("by-2(public, tracks, album, 01, name, a,b)", "s", tracks, [row("{}", "1", "a,b")])
        .no_table(
            "by-2(public, tracks, album, x, name, y)",
            Error::Invalid("the database: no integer (22P02)".into()),
        )
}

#[test]
fn schemas_hold_tables_and_a_listing_brings_rows_by_their_keys() {
    let mount = Mount::<Pg>::new(upstream());
    assert_eq!(mount.list("").unwrap(), ["public"]);
    assert_eq!(mount.list("public").unwrap(), ["cheap", "notes", "tracks"]);
    assert_eq!(mount.list("public/notes").unwrap(), ["count", "rows.csv", "schema.sql"]);
    assert_eq!(mount.list("public/tracks").unwrap(), ["count", "rows", "rows.csv", "schema.sql"]);
    assert_eq!(mount.list("public/tracks/rows").unwrap(), ["1,a~cb.json", "1,~~.json"]);
    mount.requests();
    assert_eq!(mount.read("public/tracks/rows/1,a~cb.json").unwrap(), "{}\n");
    assert!(mount.requests().is_empty());
    assert!(matches!(mount.list("pg_catalog"), Err(Error::NotFound)));
}

#[test]
fn a_row_is_found_by_the_key_that_the_server_writes_and_by_no_other() {
    let mount = Mount::<Pg>::new(upstream());
    assert_eq!(mount.read("public/tracks/rows/1,a~cb.json").unwrap(), "{}\n");
    for absent in ["01,a~cb.json", "x,y.json", "1.json", "1,2,3.json", "1"] {
        let read = mount.read(&format!("public/tracks/rows/{absent}"));
        assert!(matches!(read, Err(Error::NotFound)), "{absent}: {read:?}");
    }
}
