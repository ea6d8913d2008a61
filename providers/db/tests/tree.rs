//! The tree over recorded statements.

use omnifs_db::Db;
use omnifs_sdk::events::Change;
use omnifs_sdk::sql::Value;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Error, Position};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn upstream() -> Recorded {
    let albums = [[Value::Integer(1), text("Kind of Blue")], [Value::Integer(2), text("a,b")]];
    let columns = [[text("id"), Value::Integer(1)], [text("title"), Value::Integer(0)]];
    Recorded::new()
        .table(
            "tables()",
            "s",
            ["name", "type"],
            [[text("albums"), text("table")], [text("cheap"), text("view")]],
        )
        .table("table(albums)", "s", ["name", "type"], [[text("albums"), text("table")]])
        .table("table(nothing)", "s", ["name", "type"], [])
        .table(
            "schema(albums)",
            "s",
            ["sql"],
            [[text("CREATE TABLE albums")], [text("CREATE INDEX i")]],
        )
        .table("columns(albums)", "s", ["name", "pk"], columns)
        .table("count(albums)", "s", ["count(*)"], [[Value::Integer(2)]])
        .table("all(albums)", "s", ["id", "title"], albums.clone())
        .table("keyed(albums, 1001)", "s", ["id", "title"], albums.clone())
        .table("by-1(albums, id, 2)", "s", ["id", "title"], [albums[1].clone()])
        .table("by-1(albums, id, 3)", "s", ["id", "title"], [])
}

#[test]
fn a_table_is_a_few_files_and_a_listing_brings_its_rows() {
    let mount = Mount::<Db>::new(upstream());
    assert_eq!(mount.list("").unwrap(), ["albums", "cheap"]);
    assert_eq!(mount.list("albums").unwrap(), ["count", "rows", "rows.csv", "schema.sql"]);
    assert_eq!(mount.list("cheap").unwrap(), ["count", "rows.csv", "schema.sql"]);
    assert_eq!(mount.read("albums/schema.sql").unwrap(), "CREATE TABLE albums;\nCREATE INDEX i;\n");
    assert_eq!(mount.read("albums/count").unwrap(), "2\n");
    assert_eq!(mount.read("albums/rows.csv").unwrap(), "id,title\n1,Kind of Blue\n2,\"a,b\"\n");
    mount.requests();
    assert_eq!(mount.list("albums/rows").unwrap(), ["1.json", "2.json"]);
    let row = "{\n  \"id\": 2,\n  \"title\": \"a,b\"\n}\n";
    assert_eq!(mount.read("albums/rows/2.json").unwrap(), row);
    assert_eq!(mount.requests(), ["columns(albums)", "keyed(albums, 1001)"]);
}

#[test]
fn a_row_is_asked_for_by_its_key_alone() {
    let mount = Mount::<Db>::new(upstream());
    assert!(mount.read("albums/rows/2.json").unwrap().contains("a,b"));
    let asked = ["table(albums)", "columns(albums)", "by-1(albums, id, 2)"];
    assert_eq!(mount.requests(), asked);
    assert!(matches!(mount.read("albums/rows/3.json"), Err(Error::NotFound)));
    assert!(matches!(mount.read("albums/rows/2"), Err(Error::NotFound)));
    assert!(matches!(mount.list("nothing"), Err(Error::NotFound)));
}

#[test]
fn a_listing_that_stops_short_says_so() {
    let rows = [[Value::Integer(1), text("a")], [Value::Integer(2), text("b")]];
    let upstream = upstream().setting("listing-bound", "1").table(
        "keyed(albums, 2)",
        "s",
        ["id", "title"],
        rows,
    );
    let mount = Mount::<Db>::new(upstream);
    assert_eq!(mount.list("albums/rows").unwrap(), ["1.json"]);
    let [(_, 1, note)] = &mount.partials()[..] else { panic!("{:?}", mount.partials()) };
    assert!(note.contains("the first 1 rows"), "{note}");
    assert!(mount.read("albums/rows/2.json").is_ok());
}

#[test]
fn a_commit_invalidates_all_and_nothing_else_does() {
    let mount = Mount::<Db>::new(upstream().table("state()", "one", ["1"], [[Value::Integer(1)]]));
    let position = |cursor: Option<&str>| Position {
        feed: "changes".into(),
        scope: "database".into(),
        cursor: cursor.map(str::to_owned),
        since: 0,
    };
    mount.read("albums/count").unwrap();
    let first = mount.poll(&position(None)).unwrap();
    assert_eq!((first.cursor.as_deref(), first.resumed), (Some("one"), false));
    assert_eq!(first.changes.0, [Change::Gap("database".into())]);
    mount.read("albums/count").unwrap();
    mount.requests();
    let same = mount.poll(&position(Some("one"))).unwrap();
    assert!(same.changes.0.is_empty() && same.resumed);
    mount.read("albums/count").unwrap();
    assert_eq!(mount.requests(), ["state()"]);
    let moved = mount.poll(&position(Some("zero"))).unwrap();
    assert_eq!(moved.changes.0, [Change::Invalidated("root".into())]);
}
