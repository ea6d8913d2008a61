//! A SQLite database: a file, which the user has named.
//!
//! The file is opened for reading, and every statement is asked of an authorizer: nothing but reading the tables of this
//! one file passes. `PRAGMA data_version` of the one held connection says whether anybody else has committed
//! (<https://sqlite.org/pragma.html#pragma_data_version>). It does not see a file that is replaced or
//! written by something that is not SQLite; so the file itself is looked at too.

use super::super::client::Fault;
use super::statement::bound;
use super::{Collected, Run, too_large};
use crate::provider::{Cause, Rows, Value};
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a writer may hold the file before a statement fails.
const BUSY: Duration = Duration::from_secs(5);
/// Instructions of its virtual machine between two looks at the clock.
const STEPS: i32 = 10_000;

pub(in super::super) struct Sqlite {
    path: PathBuf,
    /// One statement at a time.
    held: Mutex<Option<Held>>,
}

struct Held {
    connection: Connection,
    /// Tells this connection from all others.
    name: String,
    file: Stamp,
    /// `PRAGMA data_version` when it was last read.
    version: Option<i64>,
}

/// What the system says of a file. It is never opened here: closing it would take the locks of the connections that
/// this process has on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    identity: Option<(u64, u64)>,
    length: u64,
    modified: Option<SystemTime>,
    changed: Option<(i64, i64)>,
}

impl Stamp {
    #[cfg(unix)]
    fn of(found: &Metadata) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        Stamp {
            identity: Some((found.dev(), found.ino())),
            length: found.len(),
            modified: found.modified().ok(),
            changed: Some((found.ctime(), found.ctime_nsec())),
        }
    }

    #[cfg(not(unix))]
    fn of(found: &Metadata) -> Stamp {
        let modified = found.modified().ok();
        Stamp { identity: None, length: found.len(), modified, changed: None }
    }
}

impl Sqlite {
    pub fn new(path: &Path) -> Sqlite {
        Sqlite { path: path.to_owned(), held: Mutex::new(None) }
    }

    /// Blocks for as long as the statement takes.
    pub fn query(&self, run: &Run) -> Result<Rows, Fault> {
        let deadline = Instant::now() + run.bounds.time;
        let mut held = self.held.lock();
        // A connection to a file that has been replaced answers nothing, and is made anew.
        for _ in 0..3 {
            let file = self.file()?;
            let own = match held.take().filter(|held| held.file.identity == file.identity) {
                Some(own) => own,
                None => Held::open(&self.path, file, run.bounds.bytes)?,
            };
            let own = held.insert(own);
            let answered = own.query(run, deadline, || self.file());
            match answered {
                Ok(Some(rows)) => return Ok(rows),
                Ok(None) => *held = None,
                Err(fault) => {
                    *held = None;
                    return Err(fault);
                }
            }
        }
        Err(Fault::new(Cause::Unavailable, "the database's file is being replaced"))
    }

    fn file(&self) -> Result<Stamp, Fault> {
        let failed = |error: io::Error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
                _ => error.to_string(),
            };
            Fault::new(Cause::Unavailable, format!("{}: {why}", self.path.display()))
        };
        let found = fs::metadata(&self.path).map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::Error::other("it is no file")));
        }
        Ok(Stamp::of(&found))
    }
}

impl Held {
    fn open(path: &Path, file: Stamp, bytes: usize) -> Result<Held, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        let mut set = || -> rusqlite::Result<()> {
            connection.busy_timeout(BUSY)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            // Else a quoted name that names nothing is a text.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
            connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
            let most = i32::try_from(bytes).unwrap_or(i32::MAX);
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, most)?;
            connection.execute_batch(
                "PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;",
            )?;
            connection.authorizer(Some(authorize))
        };
        set().map_err(fault)?;
        let mut name = [0; 8];
        let chance = |_| Fault::new(Cause::Unavailable, "the system has no random numbers");
        getrandom::fill(&mut name).map_err(chance)?;
        let name = format!("{:016x}", u64::from_le_bytes(name));
        Ok(Held { connection, name, file, version: None })
    }

    /// `None` where the file is another one than this connection knows.
    fn query(
        &mut self,
        run: &Run,
        deadline: Instant,
        file: impl FnOnce() -> Result<Stamp, Fault>,
    ) -> Result<Option<Rows>, Fault> {
        let late = move || Instant::now() >= deadline;
        self.connection.progress_handler(STEPS, Some(late)).map_err(fault)?;
        // Deferred: the first statement in it decides what all of them see.
        let transaction = self.connection.transaction().map_err(fault)?;
        let version = "PRAGMA data_version";
        let version: i64 = transaction.query_row(version, (), |row| row.get(0)).map_err(fault)?;
        // While this transaction is open, no writer of a rollback journal changes the file. Its changes of a
        // log are copied into it at any time, which costs a new connection and harms nothing.
        let file = file()?;
        let known = self.version == Some(version);
        if file.identity != self.file.identity || known && file != self.file {
            return Ok(None);
        }
        (self.version, self.file) = (Some(version), file);
        let state = format!("{}-{version}", self.name);
        rows(&transaction, run, state).map(Some)
    }
}

fn rows(transaction: &Transaction<'_>, run: &Run, state: String) -> Result<Rows, Fault> {
    let identifiers: Vec<&str> = run.identifiers().collect();
    for name in &identifiers {
        if !is_known(transaction, name).map_err(fault)? {
            return Err(Fault::new(Cause::NotFound, "nothing in the database has this name"));
        }
    }
    let invalid = |why: String| Fault::new(Cause::Denied, why);
    let (text, values) =
        bound(&run.statement, &identifiers, |number| format!("?{number}")).map_err(invalid)?;
    let mut prepared = transaction.prepare(&text).map_err(fault)?;
    if !prepared.readonly() || prepared.is_explain() != 0 {
        return Err(invalid("the statement does more than read".to_owned()));
    }
    for (number, at) in values.iter().enumerate() {
        let number = number + 1;
        let bound = match &run.values[*at] {
            Value::Null => prepared.raw_bind_parameter(number, rusqlite::types::Null),
            Value::Integer(value) => prepared.raw_bind_parameter(number, value),
            Value::Real(value) => prepared.raw_bind_parameter(number, value),
            Value::Text(value) => prepared.raw_bind_parameter(number, value),
            Value::Blob(value) => prepared.raw_bind_parameter(number, value),
        };
        bound.map_err(fault)?;
    }
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut collected = Collected::new(columns, state, run.bounds);
    let mut found = prepared.raw_query();
    while let Some(row) = found.next().map_err(fault)? {
        let value = |at: usize| row.get_ref(at).map(value);
        let row = (0..width).map(value).collect::<rusqlite::Result<_>>().map_err(fault)?;
        collected.push(row)?;
    }
    Ok(collected.rows)
}

/// Whether a table, view or column of the database has this very name.
fn is_known(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    // What every table has that has rows without a key of their own.
    if matches!(name, "rowid" | "oid" | "_rowid_") {
        return Ok(true);
    }
    let table = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";
    if transaction.query_row(table, [name], |row| row.get(0))? {
        return Ok(true);
    }
    let mut tables = transaction.prepare("SELECT name FROM sqlite_schema")?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
    let column = "SELECT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = ?2)";
    let mut column = transaction.prepare(column)?;
    // A view on what is gone, and a table of a module that is not here, have no columns that could be asked for.
    Ok(tables
        .flatten()
        .any(|table| column.query_row([table.as_str(), name], |row| row.get(0)).unwrap_or(false)))
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        // A text may hold any bytes.
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        },
    }
}

/// What a statement may do: read, and ask what tables and columns there are.
fn authorize(asked: AuthContext<'_>) -> Authorization {
    const FORBIDDEN: [&str; 3] = ["load_extension", "fts3_tokenizer", "sqlite_rename_table"];
    const ABOUT: [&str; 8] = [
        "data_version",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    ];
    let allowed = match asked.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Transaction { .. } => true,
        AuthAction::Function { function_name } => !FORBIDDEN.contains(&function_name),
        AuthAction::Pragma { pragma_name, .. } => ABOUT.contains(&pragma_name),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn fault(error: rusqlite::Error) -> Fault {
    let Some(code) = error.sqlite_error_code() else {
        return Fault::new(Cause::Invalid, format!("the database: {error}"));
    };
    let cause = match code {
        ErrorCode::OperationInterrupted => Cause::TimedOut,
        ErrorCode::AuthorizationForStatementDenied => Cause::Denied,
        ErrorCode::TooBig => return too_large("a value in the database is larger than the bound"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let why = format!("another program has held the database for {} s", BUSY.as_secs());
            return Fault::new(Cause::Unavailable, why);
        }
        // A journal that was left behind, or a log whose index cannot be made: only a writer mends those.
        ErrorCode::ReadOnly => {
            let why =
                "the database has to be recovered first: open it with a program that may write it";
            return Fault::new(Cause::Unavailable, why);
        }
        ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::PermissionDenied => {
            Cause::Unavailable
        }
        _ => Cause::Invalid,
    };
    Fault::new(cause, format!("the database: {error}"))
}
