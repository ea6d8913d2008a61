//! The provider `pg` with a PostgreSQL server of Debian's, and `psql` to say what is right.

use crate::{configure, home};
use omnifs_support::postgres::Postgres;
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;
const EFBIG: i32 = 27;

const MUSIC: &str = r#"
CREATE TABLE albums (
    id integer PRIMARY KEY, title text NOT NULL, price numeric(30,2) DEFAULT 0.5, cover bytea, live boolean,
    at timestamptz, parts integer[], UNIQUE (title)
);
CREATE INDEX by_price ON albums (price);
INSERT INTO albums VALUES
    (1, 'Kind of Blue', 12345678901234567890123.25, NULL, true, '2020-01-02 03:04:05+00', '{1,2}'),
    (2, 'He said "so, what"', NULL, '\x00ff', false, NULL, NULL), (3, '', 1.50, NULL, NULL, NULL, NULL);
CREATE TABLE tracks (album integer REFERENCES albums, number integer, name text, PRIMARY KEY (album, number));
INSERT INTO tracks VALUES (1, 1, 'So What'), (1, 2, 'Freddie, Freeloader');
CREATE TABLE notes (text text);
INSERT INTO notes VALUES ('first'), ('second');
CREATE TABLE tags (tag text PRIMARY KEY);
INSERT INTO tags VALUES ('a/b'), ('c,d'), ('5');
CREATE VIEW cheap AS SELECT title FROM albums WHERE price < 5;
CREATE SCHEMA other;
CREATE TABLE other."odd ""name""; DROP TABLE notes; --" (x integer PRIMARY KEY);
INSERT INTO other."odd ""name""; DROP TABLE notes; --" VALUES (7);
CREATE TABLE hidden (x integer PRIMARY KEY);
GRANT USAGE ON SCHEMA other TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public, other TO reader;
REVOKE SELECT ON hidden FROM reader;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
"#;

struct World {
    omnifs: Omnifs,
    server: Postgres,
}

impl World {
    /// Nothing where no mount can be made, or the server is not installed, which is said.
    fn new(test: &str, polls: &str) -> Option<World> {
        let omnifs = home(test, &["jq"])?.env("OMNIFS_POLL_MS", polls);
        if let Some(reason) = Postgres::unavailable() {
            skip(test, &reason);
            return None;
        }
        let server = Postgres::start(&omnifs.path("served")).expect("a server");
        server.psql("music", MUSIC);
        let secret = omnifs.path("role");
        fs::write(&secret, Postgres::READER).expect("a file");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode");
        let (url, secret) = (server.url("music"), secret.display());
        configure(
            &omnifs,
            &format!(
                "[instances.pg]\nsettings.listing-bound = 20000\nendpoints.database = '{url}'\n\
                 credential-file = '{secret}'\n"
            ),
        );
        Some(World { omnifs, server })
    }

    /// Once the database has been polled: what is looked up before that is asked for once more.
    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        fs::metadata(place(&mounted, "public")).expect("a directory");
        await_live(&mounted);
        mounted
    }

    fn psql(&self, statements: &str) -> String {
        self.server.psql("music", statements)
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("pg").join(path)
}

/// Statements that the mount has had run so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "pg").expect("the instance");
    own["callouts"].as_u64().expect("a number")
}

/// Waits until the database has been polled.
fn await_live(mounted: &Mounted<'_>) {
    let good = |one: &Value| {
        one["scope"] == "database" && !one["heard"].is_null() && one["state"] == "live"
    };
    let live = wait_until(SOON, || {
        mounted.status().ok()?["scopes"].as_array()?.iter().any(good).then_some(())
    });
    assert!(live.is_some(), "{:?}", mounted.status());
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

#[test]
fn schemas_tables_and_rows_are_what_psql_says() {
    let Some(world) = World::new("pg_shown", NEVER) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let names = |path: &str| list(&at(path)).expect("a directory");

    // What a mount says of itself stands beside them.
    let own: Vec<String> = names("").into_iter().filter(|name| !name.contains('.')).collect();
    assert_eq!(own, ["other", "public"]);
    assert_eq!(names("public"), ["albums", "cheap", "notes", "tags", "tracks"]);
    assert_eq!(names("public/albums"), ["count", "rows", "rows.csv", "schema.sql"]);
    for without in ["cheap", "notes"] {
        assert_eq!(names(&format!("public/{without}")), ["count", "rows.csv", "schema.sql"]);
    }
    for table in names("public") {
        let count = world.psql(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(read(&at(&format!("public/{table}/count"))), count, "{table}");
        let columns = format!(
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}'"
        );
        // As one field of a CSV it may be in quotes.
        let header = world.psql(&columns).replace('"', "");
        let rows = world.psql(&format!("SELECT * FROM {table}"));
        // psql writes an empty text as it writes NULL.
        let shown = read(&at(&format!("public/{table}/rows.csv"))).replace(",\"\",", ",,");
        assert_eq!(shown.replace("\n\"\"\n", "\n\n"), header + &rows, "{table}");
    }

    assert_eq!(names("public/albums/rows"), ["1.json", "2.json", "3.json"]);
    let row = world.psql(
        "\\pset format unaligned\nSELECT jsonb_pretty(to_jsonb(a)) FROM albums a WHERE id = 1",
    );
    assert_eq!(read(&at("public/albums/rows/1.json")), row);
    assert!(row.contains("12345678901234567890123.25"), "{row}");
    assert_eq!(json(&at("public/albums/rows/2.json"))["cover"], "\\x00ff");
    assert_eq!(names("public/tracks/rows"), ["1,1.json", "1,2.json"]);
    assert_eq!(json(&at("public/tracks/rows/1,2.json"))["name"], "Freddie, Freeloader");
    assert_eq!(names("public/tags/rows"), ["5.json", "a%2Fb.json", "c,d.json"]);
    let odd = "other/odd \"name\"; DROP TABLE notes; --";
    assert_eq!(read(&at(&format!("{odd}/rows.csv"))), "x\n7\n");
    assert_eq!(json(&at(&format!("{odd}/rows/7.json")))["x"], 7);

    for absent in [
        "pg_catalog",
        "nothing",
        "public/hidden",
        "public/Albums",
        "public/albums/rows/4.json",
        "public/albums/rows/01.json",
        "public/albums/rows/x.json",
        ".git",
    ] {
        let kind = fs::metadata(at(absent)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{absent}");
    }
}

#[test]
fn a_schema_makes_such_a_table() {
    let Some(world) = World::new("pg_schema", NEVER) else { return };
    let mounted = world.mount();
    let schema = |table: &str| read(&place(&mounted, &format!("public/{table}/schema.sql")));
    let (albums, tracks) = (schema("albums"), schema("tracks"));
    world.server.psql("postgres", "CREATE DATABASE again");
    world.server.psql("again", &format!("{albums}{tracks}{}", schema("cheap")));
    let described =
        |database: &str, table: &str| world.server.psql(database, &format!("\\d public.{table}"));
    for table in ["albums", "tracks", "cheap"] {
        assert_eq!(described("again", table), described("music", table), "{table}");
    }
}

#[test]
fn what_is_committed_to_the_server_shows_by_the_next_poll() {
    let Some(world) = World::new("pg_moves", OFTEN) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let count = at("public/tags/count");
    assert_eq!(read(&count), "3\n");
    world.psql("INSERT INTO tags VALUES ('new')");
    await_content(&count, "4\n", SOON);
    assert_eq!(json(&at("public/tags/rows/new.json"))["tag"], "new");
    let first = at("public/tracks/rows/1,1.json");
    assert_eq!(json(&first)["name"], "So What");
    world.psql("UPDATE tracks SET name = 'What' WHERE number = 1");
    let moved = || (json(&first)["name"] == "What").then_some(());
    assert!(wait_until(SOON, moved).is_some(), "{}", read(&first));
    // A transaction that is prepared has not ended; nor does one that is taken back show.
    world.psql("BEGIN; INSERT INTO tags VALUES ('never'); ROLLBACK");
    world.psql("TRUNCATE tags");
    await_content(&count, "0\n", SOON);
    await_gone(&at("public/tags/rows/new.json"), SOON);
    world.psql("CREATE UNLOGGED TABLE made (x integer PRIMARY KEY); INSERT INTO made VALUES (1)");
    await_content(&at("public/made/count"), "1\n", SOON);
    world.psql("DROP TABLE made");
    await_gone(&at("public/made"), SOON);
    world.psql("ALTER TABLE notes ADD COLUMN more integer");
    await_content(&at("public/notes/rows.csv"), "text,more\nfirst,\nsecond,\n", SOON);
    // A view is asked at each open.
    world.psql("CREATE VIEW clock AS SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE false");
    await_content(&at("public/clock/rows.csv"), "count\n0\n", SOON);
}

#[test]
fn a_database_server_that_is_stopped_is_an_error_and_leaves_nothing_stale() {
    let Some(world) = World::new("pg_stopped", OFTEN) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let row = at("public/albums/rows/1.json");
    assert_eq!(json(&row)["title"], "Kind of Blue");
    world.server.stop();
    let fails = || {
        let error = fs::read(&row).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read_to_string(&row));
    assert_eq!(errno(&at("public/albums/count")), EIO, "nobody answers");
    world.server.start_again().expect("the server");
    world.psql("UPDATE albums SET title = 'Blue' WHERE id = 1; DELETE FROM tracks");
    let back = || {
        (serde_json::from_slice::<Value>(&fs::read(&row).ok()?).ok()?["title"] == "Blue")
            .then_some(())
    };
    assert!(wait_until(SOON, back).is_some(), "{:?}", fs::read_to_string(&row));
    assert_eq!(read(&at("public/tracks/count")), "0\n");
}

#[test]
fn ten_thousand_rows_of_a_server_cost_a_few_statements_and_then_none() {
    let Some(world) = World::new("pg_thousands", NEVER) else { return };
    world.psql(
        "CREATE TABLE many AS SELECT i AS id, i::bigint * i AS square FROM generate_series(1, 300000) AS i;
         ALTER TABLE many ADD PRIMARY KEY (id);
         CREATE TABLE few AS SELECT * FROM many WHERE id <= 10000; ALTER TABLE few ADD PRIMARY KEY (id)",
    );
    let mounted = world.mount();
    let rows = place(&mounted, "public/few/rows");
    let before = requests(&mounted);
    let walk = || shell(&rows, "cat -- * | grep -c square");
    assert_eq!(list(&rows).expect("a directory").len(), 10_000);
    // The first poll proves nothing of the time before, so all is asked for once more.
    await_live(&mounted);
    assert_eq!(list(&rows).expect("a directory").len(), 10_000);
    assert_eq!(walk(), "10000");
    let cold = requests(&mounted) - before;
    assert!((3..30).contains(&cold), "{cold} statements");
    let warm = requests(&mounted);
    for _ in 0..3 {
        assert_eq!(walk(), "10000");
        assert_eq!(json(&rows.join("5000.json"))["square"], 25_000_000);
    }
    assert_eq!(requests(&mounted), warm, "nothing has changed");
    // And one that is too large for one file.
    let at = |path: &str| place(&mounted, path);
    assert_eq!(errno(&at("public/many/rows.csv")), EFBIG);
    assert_eq!(read(&at("public/many/count")), "300000\n");
    assert_eq!(json(&at("public/many/rows/300000.json"))["square"], 90_000_000_000_i64);
}
