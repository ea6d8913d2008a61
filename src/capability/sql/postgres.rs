//! A PostgreSQL server of this machine.
//!
//! Each statement runs within `SELECT ... FROM (STATEMENT)`, in a transaction that only reads. So what the server
//! would do beside reading, it refuses by its own rules: a statement that writes cannot stand there. What a function does
//! outside of the transaction (it reads a file of the server, or ends a connection) is a matter of the role's rights.
//!
//! The state of an answer is the snapshot that it was read by (`pg_current_snapshot`): which transactions it shows.
//! A commit by whomever makes it another one. Beside it stand the server's start and its last checkpoint: after
//! a crash the server empties unlogged tables, which no snapshot shows, and makes a checkpoint.

use super::super::address::Guard;
use super::super::client::Fault;
use super::super::place::{Peer, Server};
use super::statement::bound;
use super::{Bounds, Collected, Run, too_large};
use crate::credentials::Secret;
use crate::provider::{Cause, Rows, Value};
use bytes::BytesMut;
use futures_util::{TryStreamExt, pin_mut};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};

const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of a name (`NAMEDATALEN` without its NUL).
const NAME_MAX: usize = 63;

pub(in super::super) struct Postgres {
    server: Server,
    /// One statement at a time.
    held: Mutex<Option<Held>>,
}

struct Held {
    client: Client,
    /// Reads the connection; ends with this.
    driver: JoinHandle<()>,
    /// Of the role and password that it was made with.
    fingerprint: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A role and its password.
pub(in super::super) struct Login {
    role: String,
    password: Secret,
    fingerprint: u64,
}

impl Login {
    /// Of a secret of the form `USER:PASSWORD`.
    pub fn of(secret: &Secret) -> Option<Login> {
        let (role, password) = secret.expose().split_once(':')?;
        let fingerprint = crate::credentials::fingerprint(secret.expose());
        Some(Login {
            role: role.to_owned(),
            password: Secret::new(password.to_owned()),
            fingerprint,
        })
    }
}

impl Postgres {
    pub fn new(server: &Server) -> Postgres {
        Postgres { server: server.clone(), held: Mutex::new(None) }
    }

    pub async fn query(&self, run: &Run, login: &Login, guard: &Guard) -> Result<Rows, Fault> {
        let mut held = self.held.lock().await;
        // Taken out, so that a statement which fails or is given up on takes its connection along.
        let good = |own: &Held| !own.client.is_closed() && own.fingerprint == login.fingerprint;
        let own = match held.take().filter(good) {
            Some(own) => own,
            None => self.connect(login, guard, run.bounds).await?,
        };
        let rows = own.query(run).await?;
        *held = Some(own);
        Ok(rows)
    }

    async fn connect(&self, login: &Login, guard: &Guard, bounds: Bounds) -> Result<Held, Fault> {
        let late = || self.unreachable(&io::Error::from(io::ErrorKind::TimedOut));
        let connected = timeout(CONNECT, async {
            match &self.server.host {
                Peer::Tcp(host) => {
                    let stream = self.tcp(host, guard).await?;
                    self.log_in(stream, login).await
                }
                Peer::Sockets(folder) => {
                    let path = folder.join(format!(".s.PGSQL.{}", self.server.port));
                    let stream = unix(&path).await.map_err(|error| self.unreachable(&error))?;
                    self.log_in(stream, login).await
                }
            }
        });
        let held = connected.await.map_err(|_| late())??;
        // Names without a schema are the server's own, whatever tables and functions others have made.
        let time = bounds.time.as_millis();
        let set = format!(
            "SET default_transaction_read_only = on; SET search_path = pg_catalog; \
             SET standard_conforming_strings = on; SET statement_timeout = {time}; \
             SET lock_timeout = {time}; SET idle_in_transaction_session_timeout = {time}"
        );
        held.client.batch_execute(&set).await.map_err(fault)?;
        Ok(held)
    }

    async fn tcp(&self, host: &str, guard: &Guard) -> Result<TcpStream, Fault> {
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => (guard.resolver)(host.to_owned()).await.map_err(|e| self.unreachable(&e))?,
        };
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            if !address.is_loopback() {
                let why = format!("{host} leads to {address}, which is not this machine");
                return Err(Fault::new(Cause::Denied, why));
            }
            match TcpStream::connect((address, self.server.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(self.unreachable(&failed))
    }

    async fn log_in<S>(&self, stream: S, login: &Login) -> Result<Held, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut config = Config::new();
        config
            .user(&login.role)
            .password(login.password.expose())
            .dbname(&self.server.database)
            .application_name("omnifs")
            .ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(fault)?;
        let driver = tokio::spawn(async move {
            // What it fails with, the statement that waits for it fails with too.
            let _ = connection.await;
        });
        Ok(Held { client, driver, fingerprint: login.fingerprint })
    }

    fn unreachable(&self, error: &io::Error) -> Fault {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not use it".to_owned(),
            io::ErrorKind::TimedOut => format!("no connection within {} s", CONNECT.as_secs()),
            _ => error.to_string(),
        };
        Fault::new(Cause::Unavailable, format!("{}: {why}", self.server))
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

#[cfg(not(unix))]
async fn unix(_: &std::path::Path) -> io::Result<TcpStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets"))
}

/// The first statement of a transaction, which takes the snapshot that all others in it read by. A standby shows what it
/// has replayed, of which its snapshots do not tell: so its answers have no state in common.
const STATE: &str = "SELECT pg_catalog.concat_ws(' ', \
     (pg_catalog.pg_control_system()).system_identifier, pg_catalog.pg_postmaster_start_time(), \
     (pg_catalog.pg_control_checkpoint()).checkpoint_lsn, pg_catalog.pg_current_snapshot(), \
     CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.random() END)";

const KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = $1) OR EXISTS \
     (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1) OR EXISTS \
     (SELECT 1 FROM pg_catalog.pg_attribute WHERE attname = $1 AND NOT attisdropped)";

impl Held {
    async fn query(&self, run: &Run) -> Result<Rows, Fault> {
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.client.batch_execute(begin).await.map_err(fault)?;
        let state = self.client.query_one(STATE, &[]).await.map_err(fault)?;
        let state: String = state.try_get(0).map_err(fault)?;
        let identifiers: Vec<&str> = run.identifiers().collect();
        for name in &identifiers {
            let none = || Fault::new(Cause::NotFound, "nothing in the database has this name");
            if name.len() > NAME_MAX {
                return Err(none());
            }
            let known = self.client.query_one(KNOWN, &[name]).await.map_err(fault)?;
            if !known.try_get::<_, bool>(0).map_err(fault)? {
                return Err(none());
            }
        }
        let invalid = |why: String| Fault::new(Cause::Denied, why);
        let (text, values) =
            bound(&run.statement, &identifiers, |number| format!("${number}")).map_err(invalid)?;
        let inner = self.client.prepare(&text).await.map_err(fault)?;
        let columns = inner.columns();
        let names: Vec<String> = columns.iter().map(|column| column.name().to_owned()).collect();
        let types: Vec<Type> = columns.iter().map(|column| column.type_().clone()).collect();
        let mut collected = Collected::new(names, state, run.bounds);
        let text = outer(&text, &types, run.bounds.rows);
        let outer = self.client.prepare(&text).await.map_err(fault)?;
        let values: Vec<Given> = values.iter().map(|at| Given::of(&run.values[*at])).collect();
        let stream = self.client.query_raw(&outer, values).await.map_err(fault)?;
        pin_mut!(stream);
        while let Some(row) = stream.try_next().await.map_err(fault)? {
            let values = (0..types.len()).map(|at| value(&row, at, &types[at]));
            collected.push(values.collect::<Result<_, _>>().map_err(fault)?)?;
        }
        self.client.batch_execute("ROLLBACK").await.map_err(fault)?;
        Ok(collected.rows)
    }
}

/// Types that are read as they are. All others are read as the server writes them.
const OWN: [Type; 5] = [Type::INT2, Type::INT4, Type::INT8, Type::BOOL, Type::BYTEA];

/// The statement within one that has its columns in a form that can be read, and ends it one row beyond the bound.
fn outer(text: &str, types: &[Type], rows: usize) -> String {
    let (mut read, mut named) = (String::new(), String::new());
    for (at, of) in types.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let cast = if OWN.contains(of) { "" } else { "::text" };
        // Writing to memory does not fail.
        let _ = write!(read, "{comma}own.c{at}{cast}");
        let _ = write!(named, "{comma}c{at}");
    }
    // A table may have no columns.
    let named = if types.is_empty() { named } else { format!(" ({named})") };
    format!("SELECT {read} FROM ({text}) AS own{named} LIMIT {}", rows + 1)
}

fn value(row: &Row, at: usize, of: &Type) -> Result<Value, tokio_postgres::Error> {
    fn read<'a, T: FromSql<'a>>(
        row: &'a Row,
        at: usize,
        value: impl FnOnce(T) -> Value,
    ) -> Result<Value, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<T>>(at)?.map_or(Value::Null, value))
    }
    match *of {
        Type::INT2 => read(row, at, |number: i16| Value::Integer(number.into())),
        Type::INT4 => read(row, at, |number: i32| Value::Integer(number.into())),
        Type::INT8 => read(row, at, Value::Integer),
        // As `psql` and COPY write it.
        Type::BOOL => read(row, at, |is: bool| Value::Text(if is { "t" } else { "f" }.to_owned())),
        Type::BYTEA => read(row, at, Value::Blob),
        _ => read(row, at, Value::Text),
    }
}

/// A value as text, which the server reads as of the type that the statement wants there.
#[derive(Debug)]
struct Given(Option<String>);

impl Given {
    fn of(value: &Value) -> Given {
        Given(match value {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Blob(bytes) => {
                let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
                Some(format!("\\x{}", digits.collect::<String>()))
            }
        })
    }
}

impl ToSql for Given {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(of, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// By the class of the error, or its code (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn fault(error: tokio_postgres::Error) -> Fault {
    let Some(said) = error.as_db_error() else {
        return Fault::new(Cause::Unavailable, format!("the database: {error}"));
    };
    let code = said.code().code();
    let detail = format!("the database: {} ({code})", said.message());
    let cause = match (code.get(..2).unwrap_or_default(), code) {
        ("57", "57014") | ("55", "55P03") => Cause::TimedOut,
        ("28", _) | (_, "42501" | "25006") => Cause::Denied,
        ("54", _) => return too_large(detail),
        ("08" | "53" | "57" | "58", _) | (_, "3D000") => Cause::Unavailable,
        _ => Cause::Invalid,
    };
    Fault::new(cause, detail)
}
