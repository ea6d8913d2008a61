//! The provider `db` on a file that `sqlite3` writes, which also says what is right.

use crate::{configure, home};
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, wait_until};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;
const EFBIG: i32 = 27;

const MUSIC: &str = "
CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT NOT NULL, price REAL, cover BLOB);
CREATE INDEX by_title ON albums (title);
INSERT INTO albums VALUES (1, 'Kind of Blue', 9.5, NULL), (2, 'He said \"so, what\"', NULL, x'00ff'), (3, '', 1.25, NULL);
CREATE TABLE tracks (album INTEGER, number INTEGER, name TEXT, PRIMARY KEY (album, number)) WITHOUT ROWID;
INSERT INTO tracks VALUES (1, 1, 'So What'), (1, 2, 'Freddie Freeloader');
CREATE TABLE notes (text);
INSERT INTO notes VALUES ('first'), ('second');
CREATE TABLE tags (tag TEXT PRIMARY KEY);
INSERT INTO tags VALUES ('a/b'), ('5'), ('c,d'), (NULL);
CREATE VIEW cheap AS SELECT title FROM albums WHERE price < 5;
";

struct World {
    omnifs: Omnifs,
    file: PathBuf,
}

impl World {
    /// Nothing where no mount can be made, or `sqlite3` is not there, which is said.
    fn new(test: &str, polls: &str) -> Option<World> {
        let omnifs = home(test, &["sqlite3"])?.env("OMNIFS_POLL_MS", polls);
        let file = omnifs.path("music.db");
        let world = World { omnifs, file };
        world.sqlite(MUSIC);
        let (file, own) = (world.file.display(), "[instances.db]\nsettings.listing-bound = 20000");
        configure(&world.omnifs, &format!("{own}\nendpoints.database = 'sqlite://{file}'\n"));
        Some(world)
    }

    /// Once the database has been polled: what is looked up before that is asked for once more.
    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        fs::metadata(place(&mounted, "notes")).expect("a directory");
        await_live(&mounted);
        mounted
    }

    /// What the shell of SQLite prints for these statements.
    fn sqlite(&self, statements: &str) -> String {
        self.sqlite_as("", statements)
    }

    fn sqlite_as(&self, options: &str, statements: &str) -> String {
        let script = self.omnifs.path("statements.sql");
        fs::write(&script, statements).expect("a file");
        let (file, script) = (self.file.display(), script.display());
        // A reader may hold the file for a moment.
        let line = format!("sqlite3 -bail -cmd '.timeout 60000' {options} '{file}' < '{script}'");
        shell(Path::new("/"), &line)
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("db").join(path)
}

/// Statements that the mount has had run so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "db").expect("the instance");
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
fn a_view_on_what_is_gone_is_an_error_by_itself() {
    let Some(world) = World::new("db_broken", NEVER) else { return };
    world
        .sqlite("CREATE TABLE gone (x); CREATE VIEW broken AS SELECT x FROM gone; DROP TABLE gone");
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    assert_eq!(read(&at("albums/count")), "3\n");
    assert_eq!(json(&at("albums/rows/1.json"))["title"], "Kind of Blue");
    assert!(fs::read(at("broken/count")).is_err());
    assert!(read(&at("albums/rows.csv")).starts_with("id,title,price,cover\n"));
}

#[test]
fn tables_views_and_rows_are_what_sqlite_says() {
    let Some(world) = World::new("db_shown", NEVER) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let names = |path: &str| list(&at(path)).expect("a directory");

    let tables: Vec<String> = world
        .sqlite("SELECT name FROM sqlite_schema WHERE type != 'index' ORDER BY name")
        .lines()
        .map(str::to_owned)
        .collect();
    // What a mount says of itself stands beside them.
    let own: Vec<String> = names("").into_iter().filter(|name| !name.contains('.')).collect();
    assert_eq!(own, tables);
    assert_eq!(names("albums"), ["count", "rows", "rows.csv", "schema.sql"]);
    assert_eq!(names("cheap"), ["count", "rows.csv", "schema.sql"]);
    for table in ["albums", "notes", "tracks"] {
        let schema = world.sqlite(&format!(".schema {table}"));
        assert_eq!(read(&at(&format!("{table}/schema.sql"))), schema + "\n");
    }
    for table in &tables {
        let count = world.sqlite(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(read(&at(&format!("{table}/count"))), count + "\n");
    }
    // The shell has other rules for what it quotes: so each column by itself, unquoted.
    let csv = world.sqlite_as("-separator ,", "SELECT * FROM tracks");
    let header = "album,number,name\n";
    assert_eq!(read(&at("tracks/rows.csv")), format!("{header}{csv}\n"));
    assert_eq!(read(&at("cheap/rows.csv")), "title\n\"\"\n");
    assert_eq!(
        read(&at("albums/rows.csv")),
        "id,title,price,cover\n1,Kind of Blue,9.5,\n2,\"He said \"\"so, what\"\"\",,\\x00ff\n3,\"\",1.25,\n"
    );

    assert_eq!(names("albums/rows"), ["1.json", "2.json", "3.json"]);
    let row = world.sqlite_as("-json", "SELECT * FROM albums WHERE id = 1");
    let said: Value = serde_json::from_str(&row).expect("JSON");
    assert_eq!(json(&at("albums/rows/1.json")), said[0]);
    assert_eq!(json(&at("albums/rows/2.json"))["cover"]["hex"], "00ff");
    assert_eq!(names("tracks/rows"), ["1,1.json", "1,2.json"]);
    assert_eq!(json(&at("tracks/rows/1,2.json"))["name"], "Freddie Freeloader");
    assert_eq!(names("notes/rows"), ["1.json", "2.json"]);
    assert_eq!(json(&at("notes/rows/2.json")), serde_json::json!({"text": "second"}));
    assert_eq!(names("tags/rows"), ["5.json", "a%2Fb.json", "c,d.json"]);
    assert_eq!(read(&at("tags/count")), "4\n");

    for absent in
        ["sqlite_schema", "Albums", "nothing", "albums/rows/4.json", "albums/rows/01.json", ".git"]
    {
        let kind = fs::metadata(at(absent)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{absent}");
    }
}

#[test]
fn a_row_is_found_by_its_key_before_any_listing() {
    let Some(world) = World::new("db_found", NEVER) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    assert_eq!(json(&at("tracks/rows/1,1.json"))["name"], "So What");
    assert_eq!(json(&at("notes/rows/1.json"))["text"], "first");
    for tag in ["5", "a%2Fb", "c,d"] {
        let shown = json(&at(&format!("tags/rows/{tag}.json")))["tag"].clone();
        assert_eq!(shown, tag.replace("%2F", "/"));
    }
}

#[test]
fn what_is_committed_shows_by_the_next_poll() {
    let Some(world) = World::new("db_moves", OFTEN) else { return };
    for journal in ["DELETE", "WAL"] {
        world.sqlite(&format!(
            "PRAGMA journal_mode = {journal}; DELETE FROM notes; INSERT INTO notes VALUES ('a')"
        ));
        let mounted = world.mount();
        let at = |path: &str| place(&mounted, path);
        let count = at("notes/count");
        await_content(&count, "1\n", SOON);
        assert_eq!(list(&at("notes/rows")).expect("a directory"), ["1.json"]);
        world.sqlite("INSERT INTO notes VALUES ('b')");
        await_content(&count, "2\n", SOON);
        await_content(&at("notes/rows.csv"), "text\na\nb\n", SOON);
        let second = at("notes/rows/2.json");
        await_content(&second, "{\n  \"text\": \"b\"\n}\n", SOON);
        world.sqlite("UPDATE notes SET text = 'c' WHERE rowid = 2");
        await_content(&second, "{\n  \"text\": \"c\"\n}\n", SOON);
        world.sqlite("DELETE FROM notes WHERE rowid = 2");
        await_gone(&second, SOON);
        world.sqlite("CREATE TABLE made (x); INSERT INTO made VALUES (1)");
        await_content(&at("made/count"), "1\n", SOON);
        world.sqlite("DROP TABLE made");
        await_gone(&at("made"), SOON);
        await_gone(&at("made/count"), SOON);
        mounted.unmount();
    }
}

#[test]
fn a_database_that_is_gone_is_an_error_and_its_successor_shows() {
    let Some(world) = World::new("db_replaced", OFTEN) else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let row = at("albums/rows/1.json");
    assert_eq!(json(&row)["title"], "Kind of Blue");
    assert_eq!(read(&at("albums/count")), "3\n");
    let away = world.omnifs.path("away.db");
    fs::rename(&world.file, &away).expect("renamed");
    let fails = || {
        let error = fs::read(&row).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read_to_string(&row));
    assert_eq!(errno(&at("albums/count")), EIO, "nothing is there");
    world.sqlite("CREATE TABLE albums (id INTEGER PRIMARY KEY); INSERT INTO albums VALUES (7)");
    await_content(&at("albums/count"), "1\n", SOON);
    await_gone(&row, SOON);
    assert_eq!(list(&at("albums/rows")).expect("a directory"), ["7.json"]);
    // And back.
    fs::rename(&away, &world.file).expect("renamed");
    await_content(&at("albums/count"), "3\n", SOON);
    assert_eq!(json(&row)["title"], "Kind of Blue");
}

#[test]
fn ten_thousand_rows_cost_a_few_statements_and_then_none() {
    let Some(world) = World::new("db_thousands", NEVER) else { return };
    world.sqlite(
        "CREATE TABLE many (id INTEGER PRIMARY KEY, square INTEGER);
         WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO many SELECT i, i * i FROM n",
    );
    let mounted = world.mount();
    let rows = place(&mounted, "many/rows");
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
}

#[test]
fn a_table_of_a_million_rows_is_counted_and_shown_in_part_and_its_csv_is_too_large() {
    let Some(world) = World::new("db_million", NEVER) else { return };
    world.sqlite(
        "CREATE TABLE many (id INTEGER PRIMARY KEY, square INTEGER);
         WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
         INSERT INTO many SELECT i, i * i FROM n",
    );
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    assert_eq!(read(&at("many/count")), "1000000\n");
    assert_eq!(errno(&at("many/rows.csv")), EFBIG);
    assert_eq!(list(&at("many/rows")).expect("a directory").len(), 20_000);
    assert_eq!(json(&at("many/rows/1000000.json"))["square"], 1_000_000_000_000_i64);
    let status = mounted.status().expect("a status").to_string();
    assert!(status.contains("the first 20000 rows"), "{status}");
}
