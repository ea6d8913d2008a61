//! Statements against a PostgreSQL server, as the owner of everything: what holds them is not the role's rights alone.

use super::sql::{patient, placed, text};
use super::*;
use omnifs::provider::{ParameterKind, Query, Rows, Value};
use omnifs_support::postgres::Postgres;
use omnifs_support::{skip, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

type Statements<'a> = &'a [(&'a str, &'a str, &'a [ParameterKind])];

struct World {
    folder: TempDir,
    server: Postgres,
}

impl World {
    /// Nothing where the server is not installed, which is said.
    fn new(test: &str) -> Option<World> {
        if let Some(reason) = Postgres::unavailable() {
            skip(test, &reason);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let server = Postgres::start(&folder.path().join("served")).unwrap();
        let world = World { folder, server };
        world.psql(
            "CREATE TABLE t (id integer PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'one'); CREATE SEQUENCE s;
             CREATE TABLE hidden (id integer); GRANT SELECT ON t TO reader",
        );
        Some(world)
    }

    fn psql(&self, statements: &str) -> String {
        self.server.psql("music", statements)
    }

    fn asked(&self, login: &str, statements: Statements<'_>, limits: Limits) -> Outbound {
        let file = self.folder.path().join("login");
        fs::write(&file, login).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut setup = placed(&self.server.url("music"), statements, limits);
        let endpoint = &mut setup.manifest.endpoints[0];
        endpoint.default_url = "postgres://localhost/postgres".to_owned();
        endpoint.credentials = vec!["token".to_owned()];
        setup.manifest.credentials[0].scheme = Scheme::Basic(None);
        setup.environment = Environment::empty();
        setup.credential_files.insert("token".to_owned(), file);
        Outbound::new(setup).unwrap()
    }
}

async fn query(outbound: &Outbound, statement: &str, values: &[Value]) -> Result<Rows, Failure> {
    let (endpoint, statement) = ("api".to_owned(), statement.to_owned());
    outbound.query(Query { endpoint, statement, parameters: values.to_vec() }).await
}

async fn cause(outbound: &Outbound, statement: &str, values: &[Value]) -> Cause {
    query(outbound, statement, values).await.expect_err(statement).cause
}

const NAMED: &[ParameterKind] = &[ParameterKind::Identifier];
const VALUE: &[ParameterKind] = &[ParameterKind::Value];
const ALL: (&str, &str, &[ParameterKind]) = ("all", "SELECT * FROM public.{a}", NAMED);

#[tokio::test]
async fn values_of_every_type_come_as_the_server_writes_them() {
    let Some(world) = World::new("postgres_types") else { return };
    world.psql("CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN small AS integer");
    let typed = (
        "typed",
        "SELECT 1::smallint, -2::bigint, NULL::text, true, 1.50::numeric, 'NaN'::float8, 'a''b', '1'::json, \
         ARRAY(VALUES (1), (2)), 'good'::public.mood, 3::public.small, decode('00ff', 'hex'), \
         '2020-01-02'::date, ROW(1, 'x')",
        &[][..],
    );
    let is = ("is", "SELECT x FROM public.t WHERE id = {a}", VALUE);
    let outbound = world.asked(Postgres::OWNER, &[typed, is, ALL], patient());
    let rows = query(&outbound, "typed", &[]).await.unwrap();
    let expected = [
        Value::Integer(1),
        Value::Integer(-2),
        Value::Null,
        text("t"),
        text("1.50"),
        text("NaN"),
        text("a'b"),
        text("1"),
        text("{1,2}"),
        text("good"),
        Value::Integer(3),
        Value::Blob(vec![0, 255]),
        text("2020-01-02"),
        text("(1,x)"),
    ];
    assert_eq!(rows.rows, [expected]);
    // A value is of the type that stands beside it, however it is given.
    for value in [Value::Integer(1), text("1")] {
        assert_eq!(query(&outbound, "is", &[value]).await.unwrap().rows, [[text("one")]]);
    }
    assert!(query(&outbound, "is", &[Value::Null]).await.unwrap().rows.is_empty());
    assert_eq!(cause(&outbound, "is", &[text("1; DELETE FROM t")]).await, Cause::Invalid);
    let rows = query(&outbound, "all", &[text("t")]).await.unwrap();
    assert_eq!(rows.columns, ["id", "x"]);
    world.psql("CREATE TABLE none (); INSERT INTO none DEFAULT VALUES");
    assert_eq!(query(&outbound, "all", &[text("none")]).await.unwrap().rows, [[]; 1]);
}

/// The check of a manifest refuses these; here they get past it.
#[tokio::test]
async fn the_server_refuses_what_does_more_than_read_to_its_owner_too() {
    let Some(world) = World::new("postgres_writes") else { return };
    let bad: Vec<(String, &str)> = [
        "DELETE FROM public.t",
        "INSERT INTO public.t VALUES (2, 'two')",
        "WITH d AS (DELETE FROM public.t RETURNING *) SELECT * FROM d",
        "SELECT * INTO public.u FROM public.t",
        "SELECT * FROM public.t FOR UPDATE",
        "CREATE TABLE public.u ()",
        "TRUNCATE public.t",
        "COPY public.t TO '/tmp/t'",
        "SET transaction_read_only = off",
        "COMMIT",
        "SELECT nextval('public.s')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1; DELETE FROM public.t",
        "SELECT 1) AS own (c0); DELETE FROM public.t; --",
        "SELECT * FROM query_to_xml('DELETE FROM public.t', true, true, '')",
    ]
    .into_iter()
    .enumerate()
    .map(|(at, text)| (format!("s{at}"), text))
    .collect();
    let statements: Vec<_> =
        bad.iter().map(|(name, text)| (name.as_str(), *text, &[][..])).chain([ALL]).collect();
    let outbound = world.asked(Postgres::OWNER, &statements, patient());
    for (name, text) in &bad {
        let failure = query(&outbound, name, &[]).await.expect_err(text);
        assert!(matches!(failure.cause, Cause::Denied | Cause::Invalid), "{text}: {failure:?}");
        assert_eq!(world.psql("SELECT * FROM t"), "1,one\n", "{text}");
    }
    assert_eq!(world.psql("SELECT last_value, is_called FROM s"), "1,f\n");
    assert_eq!(query(&outbound, "all", &[text("t")]).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_name_reaches_the_server_as_the_name_of_something_that_exists() {
    let Some(world) = World::new("postgres_names") else { return };
    let outbound = world.asked(Postgres::OWNER, &[ALL], patient());
    let long = "t".repeat(64);
    for name in [
        "t; DELETE FROM t",
        "t\"; DELETE FROM t; --",
        "\"t\"",
        "T",
        "public.t",
        "t WHERE true",
        &long,
    ] {
        assert_eq!(cause(&outbound, "all", &[text(name)]).await, Cause::NotFound, "{name}");
    }
    for name in
        ["a\"; DROP TABLE t; --", "a'b", "a\nb\u{7}", "update", "\u{202e}a", "a.b", "{a}", "$1"]
    {
        let quoted = name.replace('"', "\"\"");
        world.psql(&format!("CREATE TABLE public.\"{quoted}\" AS SELECT 5 AS x"));
        let rows = query(&outbound, "all", &[text(name)]).await.unwrap();
        assert_eq!(rows.rows, [[Value::Integer(5)]], "{name:?}");
    }
    assert_eq!(world.psql("SELECT * FROM t"), "1,one\n");
}

#[tokio::test]
async fn a_statement_that_takes_or_brings_too_much_is_ended() {
    let Some(world) = World::new("postgres_bounds") else { return };
    let many = ("many", "SELECT * FROM generate_series(1, {a}::integer)", VALUE);
    let large = ("large", "SELECT repeat('x', {a}::integer)", VALUE);
    let limits = Limits { body: 16 << 20, ..patient() };
    let outbound = world.asked(Postgres::OWNER, &[many, large], limits);
    let some = query(&outbound, "many", &[Value::Integer(10_000)]).await.unwrap();
    assert_eq!(some.rows.len(), 10_000);
    assert_eq!(cause(&outbound, "many", &[Value::Integer(1_000_000)]).await, Cause::TooLarge);
    assert_eq!(cause(&outbound, "large", &[Value::Integer(20 << 20)]).await, Cause::TooLarge);
    let again = query(&outbound, "many", &[Value::Integer(10_000)]).await.unwrap();
    assert_eq!(
        (again.rows.len(), &again.state),
        (10_000, &some.state),
        "it is asked by another connection"
    );

    let endless = ("endless", "SELECT pg_sleep(3600)", &[][..]);
    let limits = Limits { total: Duration::from_millis(500), ..Limits::default() };
    let hasty = world.asked(Postgres::OWNER, &[endless], limits);
    let failure = query(&hasty, "endless", &[]).await.unwrap_err();
    assert_eq!(failure.cause, Cause::TimedOut, "{failure}");
    // Nothing of it goes on in the server.
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid != pg_backend_pid()
                   AND state = 'active'";
    let ended = || (world.psql(running) == "0\n").then_some(());
    assert!(wait_until(Duration::from_secs(120), ended).is_some());
}

#[tokio::test]
async fn a_snapshot_stands_for_what_was_committed() {
    let Some(world) = World::new("postgres_state") else { return };
    let outbound = world.asked(Postgres::OWNER, &[ALL], patient());
    let rows = async || query(&outbound, "all", &[text("t")]).await.unwrap();
    let first = rows().await;
    assert_eq!(rows().await, first);
    for change in [
        "UPDATE t SET x = 'two'",
        "TRUNCATE t",
        "CREATE UNLOGGED TABLE u (x integer)",
        "INSERT INTO u VALUES (1)",
        "ALTER TABLE t ADD COLUMN y integer",
        "DROP TABLE u",
        "BEGIN; INSERT INTO t VALUES (7); SAVEPOINT a; INSERT INTO t VALUES (8); COMMIT",
    ] {
        let before = rows().await;
        world.psql(change);
        let after = rows().await;
        assert_ne!(after.state, before.state, "{change}");
        assert_eq!(rows().await, after, "{change}");
    }
    // Another connection says the same of the same.
    let before = rows().await;
    let others =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'omnifs'";
    assert_eq!(world.psql(others), "t\n");
    let mut after = query(&outbound, "all", &[text("t")]).await;
    while let Err(failure) = &after {
        assert_eq!(failure.cause, Cause::Unavailable, "{failure}");
        after = query(&outbound, "all", &[text("t")]).await;
    }
    assert_eq!(after.unwrap(), before);
    // A server that was started again may have lost what no snapshot tells of.
    world.server.stop();
    assert_eq!(cause(&outbound, "all", &[text("t")]).await, Cause::Unavailable);
    world.server.start_again().unwrap();
    assert_ne!(rows().await.state, before.state);
}

#[tokio::test]
async fn only_a_role_of_this_machines_server_is_logged_in() {
    let Some(world) = World::new("postgres_login") else { return };
    let reader = world.asked(Postgres::READER, &[ALL], patient());
    assert_eq!(query(&reader, "all", &[text("t")]).await.unwrap().rows.len(), 1);
    assert_eq!(cause(&reader, "all", &[text("hidden")]).await, Cause::Denied);
    let secret = "reader:wrong-0123456789-password";
    let failure =
        query(&world.asked(secret, &[ALL], patient()), "all", &[text("t")]).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Denied);
    assert!(!failure.detail.contains("0123456789"), "{}", failure.detail);
    let mut nobody = placed(&world.server.url("music"), &[ALL], patient());
    nobody.manifest.endpoints[0].default_url = "postgres://localhost/postgres".to_owned();
    nobody.environment = Environment::empty();
    let failure = query(&Outbound::new(nobody).unwrap(), "all", &[text("t")]).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Denied);
    assert!(failure.detail.contains("no role"), "{}", failure.detail);
    for url in [
        "postgres://10.1.2.3/music",
        "postgres://db.example/music",
        "postgres://reader:secret@localhost/music",
        "postgres://localhost/",
        "postgres://localhost/music?sslmode=require",
        "postgres:///music",
        "https://localhost/music",
    ] {
        let mut elsewhere = placed(url, &[ALL], patient());
        elsewhere.manifest.endpoints[0].default_url = "postgres://localhost/postgres".to_owned();
        let error = Outbound::new(elsewhere).expect_err(url).to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
