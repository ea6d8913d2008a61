//! Statements against databases: what a manifest names, and nothing else.
//!
//! **Invariant:** the only text that reaches a database beside a statement that the user approved is the quoted name of
//! something in its catalogue. A statement runs in a transaction that only reads, for a bounded time, and its
//! answer is whole or an error.
//!
//! `statement` reads and checks texts; `sqlite` and `postgres` run them. Each holds one connection, so that two
//! answers with one state are known to be of one content.

#[cfg(feature = "sql")]
mod postgres;
#[cfg(feature = "sql")]
mod sqlite;
mod statement;

pub(crate) use statement::check;

#[cfg(feature = "sql")]
use super::client::Fault;
use super::endpoint::Target;
use super::{Shared, counters};
use crate::provider::{Cause, Failure, ParameterKind, Query, Rows, Statement, Value};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "sql")]
pub(super) use connected::Database;
#[cfg(not(feature = "sql"))]
pub(super) use unconnected::Database;

/// Rows of one answer.
const ROWS_MAX: usize = 200_000;

/// The bounds of one statement.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "nothing runs"))]
pub(super) struct Bounds {
    pub rows: usize,
    /// Of the values, in memory.
    pub bytes: usize,
    pub time: Duration,
}

/// A statement with the values of its parameters, which fit their kinds.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "nothing runs"))]
pub(super) struct Run {
    pub statement: Statement,
    pub values: Vec<Value>,
    pub bounds: Bounds,
}

impl Run {
    /// The names that stand for something in the catalogue.
    #[cfg(feature = "sql")]
    fn identifiers(&self) -> impl Iterator<Item = &str> {
        let pairs = self.statement.parameters.iter().zip(&self.values);
        pairs.filter_map(|(parameter, value)| match (parameter.kind, value) {
            (ParameterKind::Identifier, Value::Text(name)) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Rows as they come, within the bounds.
#[cfg(feature = "sql")]
#[derive(Debug)]
struct Collected {
    rows: Rows,
    weight: usize,
    bounds: Bounds,
}

#[cfg(feature = "sql")]
impl Collected {
    fn new(columns: Vec<String>, state: String, bounds: Bounds) -> Collected {
        Collected { rows: Rows { columns, rows: Vec::new(), state }, weight: 0, bounds }
    }

    fn push(&mut self, row: Vec<Value>) -> Result<(), Fault> {
        let Bounds { rows, bytes, .. } = self.bounds;
        self.weight += row.iter().map(Value::weight).sum::<usize>();
        if self.rows.rows.len() == rows {
            return Err(too_large(format!("the answer has more than {rows} rows")));
        }
        if self.weight > bytes {
            return Err(too_large(format!("the answer has more than {} MiB", bytes >> 20)));
        }
        self.rows.rows.push(row);
        Ok(())
    }
}

#[cfg(feature = "sql")]
fn too_large(why: impl Into<String>) -> Fault {
    Fault::new(Cause::TooLarge, why)
}

impl Shared {
    pub(super) async fn query(&self, query: Query) -> Result<Rows, Failure> {
        let target = self.target(&query.endpoint)?;
        let name = query.statement.clone();
        let run = self.checked_run(target, query).map_err(|reason| {
            counters::count(&target.counters.refused);
            self.failure(Cause::Denied, format!("the statement was refused: {reason}"))
        })?;
        let deadline = Instant::now() + self.limits.total;
        let result = match timeout_at(deadline, self.run(target, run)).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = self.limits.total.as_secs_f32();
                let detail = format!("the statement {name:?} was not answered within {seconds} s");
                Err(self.failure(Cause::TimedOut, detail))
            }
        };
        match &result {
            Ok(rows) => {
                let bytes = u64::try_from(rows.weight()).unwrap_or(u64::MAX);
                target.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                target.counters.troubled(None);
            }
            Err(failure) => {
                tracing::debug!(provider = %self.instance, cause = ?failure.cause, "{}", failure.detail);
                target.counters.failed(failure);
            }
        }
        result
    }

    /// What the manifest allows of a query.
    fn checked_run(&self, target: &Target, query: Query) -> Result<Run, String> {
        let mut all = target.spec.statements.iter();
        let statement = all.find(|own| own.name == query.statement).ok_or_else(|| {
            format!("the manifest declares no statement {:?} for it", query.statement)
        })?;
        let (expected, given) = (statement.parameters.len(), query.parameters.len());
        if expected != given {
            return Err(format!("it has {expected} parameters, not {given}"));
        }
        for (parameter, value) in statement.parameters.iter().zip(&query.parameters) {
            let fits = match (parameter.kind, value) {
                (ParameterKind::Value, _) => true,
                (ParameterKind::Integer, value) => matches!(value, Value::Integer(_)),
                (ParameterKind::Text, value) => matches!(value, Value::Text(_)),
                // No database has a name with a NUL, and one that ended there would be another name.
                (ParameterKind::Identifier, Value::Text(name)) => {
                    !name.is_empty() && !name.contains('\0')
                }
                (ParameterKind::Identifier, _) => false,
            };
            if !fits {
                return Err(format!("{} is not of its kind", parameter.name));
            }
        }
        let bounds = Bounds { rows: ROWS_MAX, bytes: self.limits.body, time: self.limits.total };
        Ok(Run { statement: statement.clone(), values: query.parameters, bounds })
    }
}

#[cfg(not(feature = "sql"))]
mod unconnected {
    use super::super::place::Base;
    use super::{Cause, Failure, Rows, Run, Shared, Target};

    /// Of a build that connects to none.
    pub(in super::super) struct Database;

    impl Database {
        pub fn new(_: &Base) -> Option<Database> {
            None
        }
    }

    impl Shared {
        pub(super) async fn run(&self, _: &Target, _: Run) -> Result<Rows, Failure> {
            let detail = "this omnifs was built without databases (cargo feature `sql`)";
            Err(self.failure(Cause::Unavailable, detail))
        }
    }
}

#[cfg(feature = "sql")]
mod connected {
    use super::super::place::Base;
    use super::postgres::{Login, Postgres};
    use super::sqlite::Sqlite;
    use super::{Cause, Failure, Fault, Rows, Run, Shared, Target};
    use std::sync::Arc;

    /// An endpoint's database, with its connection once there is one.
    pub(in super::super) enum Database {
        Sqlite(Arc<Sqlite>),
        Postgres(Box<Postgres>),
        /// No file has been named.
        Unplaced,
    }

    impl Database {
        pub fn new(base: &Base) -> Option<Database> {
            match base {
                Base::Sqlite(Some(path)) => Some(Database::Sqlite(Arc::new(Sqlite::new(path)))),
                Base::Sqlite(None) => Some(Database::Unplaced),
                Base::Postgres(server) => Some(Database::Postgres(Box::new(Postgres::new(server)))),
                Base::Web(_) | Base::Unix(_) | Base::Pipe(_) => None,
            }
        }
    }

    impl Shared {
        pub(super) async fn run(&self, target: &Target, run: Run) -> Result<Rows, Failure> {
            let failed = |fault: Fault| self.failure(fault.cause, fault.detail);
            match &target.database {
                Some(Database::Sqlite(sqlite)) => {
                    let sqlite = sqlite.clone();
                    target.counters.called_out();
                    let read = tokio::task::spawn_blocking(move || sqlite.query(&run));
                    let ended = |error: tokio::task::JoinError| {
                        self.failure(Cause::Unavailable, format!("the read ended early: {error}"))
                    };
                    read.await.map_err(ended)?.map_err(failed)
                }
                Some(Database::Postgres(postgres)) => {
                    let carried = self.carried(target).await?;
                    let login = carried.first().and_then(|one| Login::of(&one.found.secret));
                    let login = login.ok_or_else(|| {
                        let name = target.spec.credentials.first().map_or("", String::as_str);
                        let detail = format!(
                            "no role to log in as: `{}` keeps ROLE:PASSWORD",
                            self.login(name)
                        );
                        self.failure(Cause::Denied, detail)
                    })?;
                    target.counters.called_out();
                    postgres.query(&run, &login, &target.guard()).await.map_err(failed)
                }
                Some(Database::Unplaced) => {
                    let detail = format!(
                        "no file has been named: endpoints.{} = \"sqlite:///PATH\" of the instance \
                         in the configuration says which",
                        target.spec.name
                    );
                    Err(self.failure(Cause::Denied, detail))
                }
                None => Err(self.failure(Cause::Denied, "this endpoint is no database")),
            }
        }
    }
}
