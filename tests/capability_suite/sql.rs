//! Statements against a SQLite database: what a manifest names runs, and nothing that is given for a parameter becomes
//! anything but a name that exists, or a value.

use super::*;
use omnifs::capability::counters::CalloutCounts;
use omnifs::provider::{Parameter, ParameterKind, Query, Rows, Statement, Value};
use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    outbound: Outbound,
}

impl World {
    fn new(statements: &[(&str, &str, &[ParameterKind])], limits: Limits) -> World {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let outbound = Outbound::new(placed(&url, statements, limits)).unwrap();
        let world = World { folder, outbound };
        world.write("PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
        world
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    /// As another program does.
    fn write(&self, batch: &str) {
        let connection = Connection::open(self.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection.execute_batch(batch).unwrap();
    }

    async fn query(&self, statement: &str, values: &[Value]) -> Result<Rows, Failure> {
        let (endpoint, statement) = ("api".to_owned(), statement.to_owned());
        self.outbound.query(Query { endpoint, statement, parameters: values.to_vec() }).await
    }

    async fn cause(&self, statement: &str, values: &[Value]) -> Cause {
        self.query(statement, values).await.expect_err(statement).cause
    }

    fn counts(&self) -> CalloutCounts {
        self.outbound.status().total
    }
}

/// Parameters are named `a`, `b`, ... in the text.
pub fn placed(url: &str, statements: &[(&str, &str, &[ParameterKind])], limits: Limits) -> Setup {
    let statement = |(name, text, kinds): &(&str, &str, &[ParameterKind])| Statement {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
        parameters: ('a'..)
            .zip(*kinds)
            .map(|(name, kind)| Parameter { name: name.to_string(), kind: *kind })
            .collect(),
    };
    let mut setup = setup(url);
    let endpoint = &mut setup.manifest.endpoints[0];
    endpoint.default_url = "sqlite:".to_owned();
    endpoint.url_environment = None;
    endpoint.allow.clear();
    endpoint.credentials.clear();
    endpoint.redirect_hosts.clear();
    endpoint.statements = statements.iter().map(statement).collect();
    setup.limits = limits;
    setup
}

/// So long that no loaded machine gets there.
pub fn patient() -> Limits {
    Limits { total: Duration::from_secs(300), ..Limits::default() }
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

const NAMED: &[ParameterKind] = &[ParameterKind::Identifier];
const ALL: (&str, &str, &[ParameterKind]) = ("all", "SELECT * FROM {a}", NAMED);
const COUNT: (&str, &str, &[ParameterKind]) = ("count", "SELECT count(*) FROM {a}", NAMED);

#[tokio::test]
async fn rows_come_with_their_types_and_their_columns() {
    let is = ("is", "SELECT x FROM t WHERE x = {a}", &[ParameterKind::Value][..]);
    let world = World::new(&[ALL, is], patient());
    world.write(
        "INSERT INTO t (x) VALUES (NULL), (-7), (1.5), ('a''b'), (x'00ff'), (CAST(x'ff' AS TEXT))",
    );
    let rows = world.query("all", &[text("t")]).await.unwrap();
    assert_eq!(rows.columns, ["id", "x"]);
    let values: Vec<Value> = rows.rows.iter().map(|row| row[1].clone()).collect();
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let expected = [
        Value::Null,
        Value::Integer(-7),
        Value::Real(1.5),
        text("a'b"),
        blob(&[0, 255]),
        // A text that is no UTF-8.
        blob(&[255]),
    ];
    assert_eq!(values, expected);
    for value in &expected[1..5] {
        let found = world.query("is", std::slice::from_ref(value)).await.unwrap();
        assert_eq!(found.rows, [std::slice::from_ref(value)]);
    }
    assert_eq!(world.counts().callouts, 5);
}

#[tokio::test]
async fn what_the_manifest_does_not_name_is_refused_before_the_file_is_opened() {
    let number = ("number", "SELECT {a}", &[ParameterKind::Integer][..]);
    let word = ("word", "SELECT {a}", &[ParameterKind::Text][..]);
    let world = World::new(&[ALL, number, word], patient());
    for (statement, values) in [
        ("SELECT 1", vec![]),
        ("other", vec![]),
        ("all", vec![]),
        ("all", vec![text("t"), text("t")]),
        ("all", vec![Value::Integer(1)]),
        ("all", vec![text("")]),
        ("all", vec![text("t\0")]),
        ("number", vec![text("1; DELETE FROM t")]),
        ("word", vec![Value::Blob(vec![0])]),
    ] {
        assert_eq!(world.cause(statement, &values).await, Cause::Denied, "{statement} {values:?}");
    }
    let elsewhere = Query { endpoint: "b".into(), statement: "all".into(), parameters: vec![] };
    assert_eq!(world.outbound.query(elsewhere).await.unwrap_err().cause, Cause::Denied);
    assert_eq!((world.counts().callouts, world.counts().refused), (0, 9));
    // It is asked over HTTP for nothing.
    assert_eq!(fails(&world.outbound, get("/things/1")).await.0, Cause::Denied);
}

#[tokio::test]
async fn a_name_reaches_the_database_as_the_name_of_something_that_exists() {
    let column = ("column", "SELECT {a} FROM t", NAMED);
    let world = World::new(&[ALL, COUNT, column], patient());
    world.write("INSERT INTO t (x) VALUES (1)");
    for name in [
        "t; DELETE FROM t",
        "t\" ; DELETE FROM t; --",
        "\"t\"",
        "t--",
        "t WHERE 1",
        "(SELECT 1)",
        "pragma_database_list",
        "sqlite_schema",
        "T",
        "t\n",
        "main.t",
        "''",
    ] {
        assert_eq!(world.cause("all", &[text(name)]).await, Cause::NotFound, "{name}");
    }
    // A name in double quotes that names nothing is no text.
    assert_eq!(world.cause("column", &[text("nothing")]).await, Cause::NotFound);
    assert_eq!(world.cause("column", &[text("t")]).await, Cause::Invalid);
    // Whatever a name that does exist is made of, it is that name.
    let odd =
        ["a\"; DROP TABLE t; --", "a'b", "a\nb\u{7}", "update", "\u{202e}a", "a.b", "[a]", "%s"];
    for name in odd {
        let quoted = name.replace('"', "\"\"");
        world.write(&format!("CREATE TABLE \"{quoted}\" (x); INSERT INTO \"{quoted}\" VALUES (5)"));
        let rows = world.query("all", &[text(name)]).await.unwrap();
        assert_eq!(rows.rows, [[Value::Integer(5)]], "{name:?}");
    }
    let rows = world.query("count", &[text("t")]).await.unwrap();
    assert_eq!(rows.rows, [[Value::Integer(1)]]);
}

/// The check of a manifest refuses these; here they get past it.
#[tokio::test]
async fn the_database_itself_refuses_what_does_more_than_read() {
    let bad: Vec<(String, &str)> = [
        "DELETE FROM t",
        "INSERT INTO t (x) VALUES (2)",
        "CREATE TABLE u (x)",
        "CREATE TEMP TABLE u (x)",
        "DROP TABLE t",
        "ATTACH ':memory:' AS other",
        "VACUUM",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA trusted_schema = ON",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "BEGIN IMMEDIATE",
        "SELECT * FROM pragma_database_list",
        "EXPLAIN SELECT 1",
        "SELECT 1; DELETE FROM t",
    ]
    .into_iter()
    .enumerate()
    .map(|(at, text)| (format!("s{at}"), text))
    .collect();
    let statements: Vec<(&str, &str, &[ParameterKind])> =
        bad.iter().map(|(name, text)| (name.as_str(), *text, &[][..])).chain([COUNT]).collect();
    let world = World::new(&statements, patient());
    world.write("INSERT INTO t (x) VALUES (1)");
    let before = std::fs::read(world.file()).unwrap();
    for (name, text) in &bad {
        let failure = world.query(name, &[]).await.expect_err(text);
        assert!(matches!(failure.cause, Cause::Denied | Cause::Invalid), "{text}: {failure:?}");
    }
    assert_eq!(std::fs::read(world.file()).unwrap(), before);
    let rows = world.query("count", &[text("t")]).await.unwrap();
    assert_eq!(rows.rows, [[Value::Integer(1)]]);
}

#[tokio::test]
async fn an_answer_beyond_a_bound_is_an_error_and_not_a_part_of_it() {
    const MANY: &str = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {a}) \
                        SELECT i FROM n";
    let many = ("many", MANY, &[ParameterKind::Integer][..]);
    let limits = Limits { body: 16 << 20, ..patient() };
    let world = World::new(&[many, ALL, COUNT], limits);
    let some = world.query("many", &[Value::Integer(10_000)]).await.unwrap();
    assert_eq!(some.rows.len(), 10_000);
    assert_eq!(world.cause("many", &[Value::Integer(1_000_000)]).await, Cause::TooLarge);
    // In a table: all of it is too much, and the number of its rows is not.
    world.write(&format!("INSERT INTO t (x) {}", MANY.replace("{a}", "1000000")));
    assert_eq!(world.cause("all", &[text("t")]).await, Cause::TooLarge);
    let counted = world.query("count", &[text("t")]).await.unwrap();
    assert_eq!(counted.rows, [[Value::Integer(1_000_000)]]);
    // One value that is larger than the bound, and several that are together.
    world.write("CREATE TABLE huge (x); INSERT INTO huge VALUES (zeroblob(17 * 1024 * 1024))");
    assert_eq!(world.cause("all", &[text("huge")]).await, Cause::TooLarge);
    world.write("CREATE TABLE large (x); INSERT INTO large VALUES (zeroblob(9 * 1024 * 1024)), (zeroblob(9 * 1024 * 1024))");
    assert_eq!(world.cause("all", &[text("large")]).await, Cause::TooLarge);
}

#[tokio::test]
async fn a_statement_without_an_end_is_ended() {
    let endless = (
        "endless",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        &[][..],
    );
    let limits = Limits { total: Duration::from_millis(200), ..Limits::default() };
    let world = World::new(&[endless], limits);
    assert_eq!(world.cause("endless", &[]).await, Cause::TimedOut);
    // What still ran holds the connection for no longer than its own time.
    assert_eq!(world.cause("endless", &[]).await, Cause::TimedOut);
}

#[tokio::test]
async fn a_state_stands_for_what_was_committed() {
    for journal in ["DELETE", "WAL"] {
        let world = World::new(&[ALL], patient());
        world.write(&format!("PRAGMA journal_mode = {journal}"));
        let first = world.query("all", &[text("t")]).await.unwrap();
        let again = world.query("all", &[text("t")]).await.unwrap();
        assert_eq!(first, again, "{journal}");
        // What is not committed is not there.
        let writer = Connection::open(world.file()).unwrap();
        writer.busy_timeout(Duration::from_secs(60)).unwrap();
        writer.execute_batch("BEGIN; INSERT INTO t (x) VALUES (1)").unwrap();
        let during = world.query("all", &[text("t")]).await.unwrap();
        assert_eq!(during.rows, first.rows, "{journal}");
        writer.execute_batch("COMMIT").unwrap();
        let after = world.query("all", &[text("t")]).await.unwrap();
        assert_eq!(after.rows.len(), 1, "{journal}");
        assert_ne!(after.state, first.state, "{journal}");
        // So does a schema, and a value that is what it was.
        writer.execute_batch("CREATE TABLE u (x)").unwrap();
        let made = world.query("all", &[text("t")]).await.unwrap();
        assert_eq!(made.rows, after.rows, "{journal}");
        assert_ne!(made.state, after.state, "{journal}");
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_another_is_read_anew() {
    let world = World::new(&[ALL], patient());
    let first = world.query("all", &[text("t")]).await.unwrap();
    let other = world.folder.path().join("b.db");
    std::fs::copy(world.file(), &other).unwrap();
    let filled = Connection::open(&other).unwrap();
    filled.execute_batch("INSERT INTO t (x) VALUES (1)").unwrap();
    drop(filled);
    std::fs::rename(&other, world.file()).unwrap();
    let renamed = world.query("all", &[text("t")]).await.unwrap();
    assert_eq!(renamed.rows.len(), 1);
    assert_ne!(renamed.state, first.state);
    // By a program that knows nothing of SQLite, into the same file.
    world.write("INSERT INTO t (x) VALUES (2)");
    let two = world.query("all", &[text("t")]).await.unwrap();
    let bytes = std::fs::read(world.file()).unwrap();
    world.write("DELETE FROM t");
    let none = world.query("all", &[text("t")]).await.unwrap();
    assert_eq!((two.rows.len(), none.rows.len()), (2, 0));
    std::fs::write(world.file(), bytes).unwrap();
    let back = world.query("all", &[text("t")]).await.unwrap();
    assert_eq!(back.rows, two.rows);
    assert_ne!(back.state, none.state);
    std::fs::remove_file(world.file()).unwrap();
    assert_eq!(world.cause("all", &[text("t")]).await, Cause::Unavailable);
    assert!(!world.file().exists(), "nothing is made where no file is");
}

#[tokio::test]
async fn what_is_no_database_is_an_error() {
    let world = World::new(&[ALL], patient());
    std::fs::write(world.file(), "no database, and long enough to look like a page ".repeat(100))
        .unwrap();
    assert_eq!(world.cause("all", &[text("t")]).await, Cause::Invalid);
    std::fs::remove_file(world.file()).unwrap();
    std::fs::create_dir(world.file()).unwrap();
    assert_eq!(world.cause("all", &[text("t")]).await, Cause::Unavailable);
}

#[tokio::test]
async fn only_the_configuration_says_which_file_and_only_for_a_database() {
    let none = placed("", &[ALL], patient());
    let outbound = Outbound::new(none).unwrap();
    let query =
        Query { endpoint: "api".into(), statement: "all".into(), parameters: vec![text("t")] };
    let failure = outbound.query(query).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Denied);
    assert!(failure.detail.contains("endpoints.api = \"sqlite:///PATH\""), "{}", failure.detail);
    for url in
        ["https://a.example", "unix:///run/a", "sqlite:", "sqlite://a", "postgres://localhost/a"]
    {
        assert!(Outbound::new(placed(url, &[ALL], patient())).is_err(), "{url}");
    }
    // Nor can requests be sent to a file.
    assert!(Outbound::new(setup("sqlite:///etc/passwd")).is_err());
    let mut setup = placed("", &[ALL], patient());
    setup.manifest.endpoints[0].url_environment = Some("A".to_owned());
    setup.environment = environment(&[("A", "sqlite:///etc/passwd")]);
    assert!(Outbound::new(setup).is_err());
}
