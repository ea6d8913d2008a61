//! The connection to a bus: a NATS server with JetStream, of which four requests are used: to read what a
//! subject keeps, to append to it on a condition, to publish and to listen.
//!
//! The requests are written out here in place of a client of JetStream, because such a client asks the server for more than
//! a mount is permitted: a mount may read single messages and nothing about streams or consumers.

use super::answers;
use crate::backoff::jittered;
use crate::credentials::Secret;
use async_nats::header::HeaderMap;
use async_nats::{Client, ConnectOptions, Event, RequestErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Keeps the last message of each scope.
pub const STREAM: &str = "OMNIFS";
/// Keeps who leads, for as long as a lease is. A key-value bucket.
pub const LEASES: &str = "KV_OMNIFS_LEASES";

/// Keeps answers that mounts share, and who asks for one, where a fleet shares them.
pub const ANSWERS: &str = "OMNIFS_ANSWERS";
pub const FETCHES: &str = "OMNIFS_FETCHES";

/// For an answer of the server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_secs(2);

const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
/// The server's own codes for refusals that are answers to us.
const WRONG_LAST_SEQUENCE: u64 = 10_071;
const NO_STREAM: u64 = 10_059;

/// How to reach the bus and as whom.
#[derive(Clone)]
pub struct Access {
    pub url: String,
    /// Of the JetStream that keeps the streams, where it is reached through a leaf node.
    pub domain: Option<String>,
    /// The user's name and password.
    pub user: Option<(String, Secret)>,
}

impl Access {
    /// `text` is what the credentials file holds: `USER:PASSWORD`.
    ///
    /// # Errors
    /// It is something else. It is not repeated.
    pub fn new(url: &str, domain: Option<&str>, text: Option<&Secret>) -> Result<Access, String> {
        let user = match text {
            None => None,
            Some(text) => {
                let parts = text.expose().split_once(':').filter(|(user, _)| is_token(user));
                let (user, password) = parts.ok_or(
                    "does not hold USER:PASSWORD, with a user of letters, digits, _ and -",
                )?;
                Some((user.to_owned(), Secret::new(password.to_owned())))
            }
        };
        Ok(Access { url: url.to_owned(), domain: domain.map(str::to_owned), user })
    }

    /// Where answers arrive: a subject that nobody else may listen to.
    pub fn inbox(&self) -> String {
        match &self.user {
            Some((user, _)) => inbox(user),
            None => "_INBOX".to_owned(),
        }
    }
}

/// What the subjects of requests to JetStream begin with.
pub fn api(domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("$JS.{domain}.API"),
        None => "$JS.API".to_owned(),
    }
}

pub fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// Whether it can be a part of a subject.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(user, _)| user);
        f.debug_struct("Access").field("url", &self.url).field("user", &user).finish()
    }
}

/// The name of who has none.
const NOBODY: &str = "anybody";

/// Which connection it is, counted from the first; absent while there is none.
pub type Connection = Option<u64>;

/// A connection that comes back by itself.
#[derive(Clone)]
pub struct Server {
    client: Client,
    api: Arc<str>,
    user: Arc<str>,
    connection: watch::Receiver<Connection>,
    trouble: Arc<Mutex<Option<String>>>,
}

/// A message that a subject keeps.
#[derive(Clone, Debug)]
pub struct Kept {
    pub sequence: u64,
    pub payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("somebody else has written there meanwhile")]
    Overtaken,
    #[error("the bus keeps nothing of that kind: no relay has run yet")]
    NoStream,
    #[error("{0}")]
    Failed(String),
}

impl Server {
    /// Returns at once; the connection is made in the background, again and again. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is none.
    pub async fn connect(access: &Access) -> Result<Server, String> {
        // A process installs one once; an error says that it did.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (tell, connection) = watch::channel(None);
        let trouble = Arc::new(Mutex::new(None));
        let noted = trouble.clone();
        let count = Arc::new(Mutex::new(0));
        let tell = Arc::new(tell);
        let heard = move |event| {
            match event {
                Event::Connected => {
                    let mut count = count.lock();
                    *count += 1;
                    *noted.lock() = None;
                    let _ = tell.send(Some(*count));
                }
                Event::Disconnected | Event::Closed => {
                    let _ = tell.send(None);
                }
                Event::ServerError(error) => {
                    tracing::warn!("the bus: {error}");
                    *noted.lock() = Some(error.to_string());
                }
                Event::ClientError(error) => *noted.lock() = Some(error.to_string()),
                // What is lost by it shows in the next beat.
                Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => {}
            }
            std::future::ready(())
        };
        let mut options = ConnectOptions::new()
            .name("omnifs")
            .custom_inbox_prefix(access.inbox())
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(PATIENCE)
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .reconnect_delay_callback(|attempts| {
                let wait = Duration::from_millis(50).saturating_mul(1 << attempts.min(8));
                jittered(wait.min(RECONNECT))
            })
            .event_callback(heard);
        if let Some((user, password)) = &access.user {
            options = options.user_and_password(user.clone(), password.expose().to_owned());
        }
        let client = options.connect(&access.url).await.map_err(|error| error.to_string())?;
        let api = api(access.domain.as_deref()).into();
        let user = access.user.as_ref().map_or(NOBODY, |(user, _)| user).into();
        Ok(Server { client, api, user, connection, trouble })
    }

    /// Who this is to the bus.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Changes with each connection that is made or lost.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Waits for a connection, at most so long.
    pub async fn is_connected_within(&self, patience: Duration) -> bool {
        let mut connection = self.connection();
        let connected = connection.wait_for(Option::is_some);
        tokio::time::timeout(patience, connected).await.is_ok_and(|connected| connected.is_ok())
    }

    /// What the server has complained of last, since it was connected to.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// # Errors
    /// The connection has been given up.
    pub async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        self.client.subscribe(subject).await.map_err(failed)
    }

    /// # Errors
    /// The connection has been given up. That it arrives nobody says.
    pub async fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), Error> {
        self.client.publish(subject, payload.into()).await.map_err(failed)
    }

    /// The last message of a subject, read from the stream that keeps it.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Kept>, Error> {
        let asked = format!("{}.DIRECT.GET.{stream}.{subject}", self.api);
        let answer = self.request(asked, HeaderMap::new(), Bytes::new()).await?;
        let headers = answer.headers.unwrap_or_default();
        // The server writes its headers behind those of the message that it keeps. Such a message may have the same
        // ones and a status, where somebody had an answer of the server stored: they are not about this answer.
        let sequence =
            headers.get_last("Nats-Sequence").and_then(|value| value.as_str().parse().ok());
        let about = headers.get_last("Nats-Subject").map(|value| value.as_str());
        match (sequence, answer.status) {
            (Some(sequence), _) if about == Some(subject) => {
                Ok(Some(Kept { sequence, payload: answer.payload }))
            }
            (None, Some(NOT_FOUND)) => Ok(None),
            (None, Some(status)) => {
                let detail = answer.description.unwrap_or_default();
                Err(Error::Failed(format!("the bus answered {status} {detail}")))
            }
            _ => Err(Error::Failed("the bus answered with another message".to_owned())),
        }
    }

    /// Appends to a subject whose last message is `after`, 0 where it keeps none. The new message's number.
    ///
    /// # Errors
    /// [`Error::Overtaken`]: it keeps another message by now. Any other error leaves open whether it was appended.
    pub async fn append(
        &self,
        subject: String,
        after: u64,
        payload: Vec<u8>,
    ) -> Result<u64, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", after.to_string());
        let answer = self.request(subject, headers, payload.into()).await?;
        #[derive(Deserialize)]
        struct Acknowledged {
            seq: Option<u64>,
        }
        let value = answered(&answer.payload)?;
        let acknowledged: Acknowledged = serde_json::from_value(value).map_err(failed)?;
        acknowledged.seq.ok_or_else(|| Error::Failed("the bus did not keep it".to_owned()))
    }

    /// Makes the streams that are not there, and sees that those that are have the form that is built upon.
    ///
    /// # Errors
    /// A stream has another form, or cannot be made.
    pub async fn prepare(&self, lease: Duration) -> Result<(), Error> {
        let scopes = json!({
            "name": STREAM,
            "subjects": ["omnifs.scope.>"],
            "retention": "limits",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "old",
            "allow_direct": true,
            "deny_delete": true,
            "deny_purge": true,
            "republish": { "src": "omnifs.scope.>", "dest": "omnifs.now.>" },
        });
        let built_upon = ["max_msgs_per_subject", "allow_direct", "deny_delete", "deny_purge"];
        self.make(STREAM, &scopes, &built_upon).await?;
        let leases = json!({
            "name": LEASES,
            "subjects": ["$KV.OMNIFS_LEASES.>"],
            "retention": "limits",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_direct": true,
            "allow_rollup_hdrs": true,
            "max_age": u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX),
        });
        self.make(LEASES, &leases, &["max_msgs_per_subject", "allow_direct", "max_age"]).await
    }

    /// The same for what a fleet needs whose mounts share answers. `fetch` is how long one of them waits for another.
    ///
    /// # Errors
    /// A stream has another form, or cannot be made.
    pub async fn prepare_answers(&self, fetch: Duration) -> Result<(), Error> {
        let age = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let stream = |name: &str, subjects: &str, most: u64, for_: Duration| {
            json!({
                "name": name,
                "subjects": [subjects],
                "retention": "limits",
                "storage": "file",
                "max_msgs_per_subject": 1,
                "max_bytes": most,
                "max_msg_size": answers::MOST,
                "discard": "old",
                "allow_direct": true,
                "max_age": age(for_),
            })
        };
        // Without an age a lease whose holder died would never end.
        let built_upon = ["max_msgs_per_subject", "allow_direct", "max_age"];
        let kept = stream(ANSWERS, "omnifs.answer.>", answers::TOGETHER, answers::KEPT_FOR);
        self.make(ANSWERS, &kept, &built_upon).await?;
        let asked = stream(FETCHES, "omnifs.fetch.>", answers::TOGETHER >> 4, fetch);
        self.make(FETCHES, &asked, &built_upon).await
    }

    async fn make(&self, name: &str, wanted: &Value, built_upon: &[&str]) -> Result<(), Error> {
        let ask = |verb: &str, body: Bytes| {
            let asked = format!("{}.STREAM.{verb}.{name}", self.api);
            async move { answered(&self.request(asked, HeaderMap::new(), body).await?.payload) }
        };
        let made = match ask("INFO", Bytes::new()).await {
            Err(Error::NoStream) => {
                let body = serde_json::to_vec(wanted).map_err(failed)?;
                match ask("CREATE", body.into()).await {
                    // Another relay was faster.
                    Err(_) => ask("INFO", Bytes::new()).await?,
                    Ok(made) => made,
                }
            }
            answer => answer?,
        };
        let config = made.get("config").unwrap_or(&Value::Null);
        let subjects = config.get("republish").and_then(|republish| republish.get("dest"));
        let wanted_subjects = wanted.get("republish").and_then(|republish| republish.get("dest"));
        let odd = built_upon.iter().find(|field| config.get(**field) != wanted.get(**field));
        let odd = odd.copied().or_else(|| (subjects != wanted_subjects).then_some("republish"));
        match odd {
            None => Ok(()),
            Some(field) => Err(Error::Failed(format!(
                "the stream {name} of the bus has another {field} than it must have: {}",
                wanted.get(field).unwrap_or(&Value::Null)
            ))),
        }
    }

    async fn request(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<async_nats::Message, Error> {
        // The client's own patience begins once the request is on its way.
        let asked = self.client.request_with_headers(subject, headers, payload);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(Error::NoStream)
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Error::Failed("the bus did not answer".to_owned())),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("connection", &*self.connection.borrow())
            .finish_non_exhaustive()
    }
}

/// An answer of JetStream, or what it refused with.
fn answered(payload: &[u8]) -> Result<Value, Error> {
    let value: Value = serde_json::from_slice(payload).map_err(failed)?;
    let Some(error) = value.get("error") else { return Ok(value) };
    match error.get("err_code").and_then(Value::as_u64) {
        Some(WRONG_LAST_SEQUENCE) => Err(Error::Overtaken),
        Some(NO_STREAM) => Err(Error::NoStream),
        _ => {
            let text = error.get("description").and_then(Value::as_str).unwrap_or("a refusal");
            Err(Error::Failed(format!("the bus answered: {text}")))
        }
    }
}

fn failed(error: impl fmt::Display) -> Error {
    Error::Failed(error.to_string())
}
