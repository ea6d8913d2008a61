//! A unix-socket proxy in front of a service that counts the requests and can disturb them.
//!
//! Each request goes upstream on a connection of its own, and each answer closes the client's: what
//! the log counts is requests, however the client pools its connections.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a stalled request is held at most, so that a forgotten fault cannot hang a test run.
const STALL: Duration = Duration::from_secs(120);

/// One request that reached the proxy, also where a fault then kept it from the service.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    pub at: Instant,
}

/// What happens to a request instead of being passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is read and the connection closed without an answer.
    Drop,
    /// The request is read and nothing comes back until the fault is lifted (or two minutes).
    Stall,
    /// The head of the answer and the first half of its body, then the connection is closed.
    Half,
    /// The service is not asked; this status with a small JSON body is the answer.
    Status(u16),
}

/// The running proxy; dropped, it closes its socket and all connections.
#[derive(Debug)]
pub struct Proxy {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Request>,
    /// A path part and the fault for requests whose path holds it; the last match counts.
    faults: Vec<(String, Fault)>,
    /// Connections with a request in progress: its number, its path, both streams.
    open: Vec<(u64, String, UnixStream, UnixStream)>,
    next: u64,
    /// The listener's generation; an accept loop of an older one ends.
    listening: Option<u64>,
}

impl Proxy {
    /// Listens on a new socket and passes requests on to `upstream`.
    pub fn start(upstream: &Path) -> io::Result<Proxy> {
        let directory = tempfile::Builder::new().prefix("omnifs-proxy-").tempdir_in("/tmp")?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let proxy = Proxy { directory, shared };
        proxy.listen()?;
        Ok(proxy)
    }

    /// The socket to give to the client.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    /// The value for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.clone()
    }

    /// The number of requests so far whose path does not begin with one of `except` (the feed's
    /// own, say: `["/events"]`).
    pub fn count(&self, except: &[&str]) -> usize {
        let state = self.shared.state();
        let counts = |r: &&Request| !except.iter().any(|path| r.path.starts_with(path));
        state.log.iter().filter(counts).count()
    }

    /// Forgets the requests so far and gives them.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state().log)
    }

    /// Waits until a request whose path holds `part` has come, at most `limit`.
    pub fn wait_for(&self, part: &str, limit: Duration) -> Option<Request> {
        crate::wait_until(limit, || {
            self.shared.state().log.iter().find(|r| r.path.contains(part)).cloned()
        })
    }

    /// From now on requests whose path holds `part` (all: `""`) suffer `fault`.
    pub fn fault(&self, part: &str, fault: Fault) {
        self.shared.state().faults.push((part.to_owned(), fault));
        self.shared.changed.notify_all();
    }

    /// Lifts all faults; stalled requests are closed.
    pub fn mend(&self) {
        self.shared.state().faults.clear();
        self.shared.changed.notify_all();
    }

    /// Closes the connections whose request path holds `part`: the event stream is `/events`. The
    /// number of connections closed.
    pub fn cut(&self, part: &str) -> usize {
        let state = self.shared.state();
        let hit = state.open.iter().filter(|(_, path, ..)| path.contains(part));
        hit.map(|(_, _, client, server)| {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        })
        .count()
    }

    /// From now on connecting gives ECONNREFUSED; connections that stand are cut.
    pub fn refuse(&self) {
        self.shared.state().listening = None;
        self.shared.changed.notify_all();
        // Wakes the accept loop, which then closes the listener.
        let _ = UnixStream::connect(self.socket());
        let refused = || UnixStream::connect(self.socket()).is_err().then_some(());
        crate::wait_until(Duration::from_secs(60), refused);
        self.cut("");
    }

    /// Takes connections again after [`Proxy::refuse`].
    pub fn listen(&self) -> io::Result<()> {
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket())?;
        let generation = {
            let mut state = self.shared.state();
            state.next += 1;
            state.listening = Some(state.next);
            state.next
        };
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state().listening != Some(generation) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A failed connection is the client's or the service's doing, and shows there.
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.mend();
        self.refuse();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// One connection: one request, one answer.
    fn serve(&self, client: UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let Some(request) = Head::read(&mut reader)? else { return Ok(()) };
        let mut words = request.first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.state().log.push(Request {
            method: method.to_owned(),
            path: path.to_owned(),
            at: Instant::now(),
        });
        match self.fault_of(path) {
            Some(Fault::Drop) => client.shutdown(Shutdown::Both),
            Some(Fault::Stall) => self.stall(path, &client),
            Some(Fault::Status(code)) => {
                let body = r#"{"message":"a fault of the test proxy"}"#;
                let head = format!(
                    "HTTP/1.1 {code} Fault\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                (&client).write_all(head.as_bytes())
            }
            fault => {
                let server = UnixStream::connect(&self.upstream)?;
                let number = self.enter(path, &client, &server)?;
                let result = pass(&request, reader, &client, &server, fault == Some(Fault::Half));
                self.state().open.retain(|(n, ..)| *n != number);
                let _ = client.shutdown(Shutdown::Both);
                result
            }
        }
    }

    fn enter(&self, path: &str, client: &UnixStream, server: &UnixStream) -> io::Result<u64> {
        let (client, server) = (client.try_clone()?, server.try_clone()?);
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.open.push((number, path.to_owned(), client, server));
        Ok(number)
    }

    fn fault_of(&self, path: &str) -> Option<Fault> {
        let state = self.state();
        state.faults.iter().rev().find(|(part, _)| path.contains(part)).map(|(_, fault)| *fault)
    }

    /// Holds the connection until the fault is lifted or the proxy stops.
    fn stall(&self, path: &str, client: &UnixStream) -> io::Result<()> {
        let stalled = |state: &mut State| {
            state.listening.is_some()
                && state.faults.iter().any(|(p, f)| *f == Fault::Stall && path.contains(p))
        };
        let guard = self.state();
        drop(self.changed.wait_timeout_while(guard, STALL, stalled));
        client.shutdown(Shutdown::Both)
    }
}

/// A request's first line and headers.
struct Head {
    first: String,
    headers: Vec<String>,
    length: u64,
}

impl Head {
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut head = Head { first: String::new(), headers: Vec::new(), length: 0 };
        if reader.read_line(&mut head.first)? == 0 {
            return Ok(None);
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                return Ok(Some(head));
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                head.length = value.trim().parse().unwrap_or(0);
            }
            if !lower.starts_with("connection:") {
                head.headers.push(line);
            }
        }
    }
}

/// Sends the request to the service and its answer to the client as it comes; with `half`, only
/// the first half of the answer's body.
fn pass(
    request: &Head,
    reader: BufReader<UnixStream>,
    client: &UnixStream,
    mut server: &UnixStream,
    half: bool,
) -> io::Result<()> {
    let head = format!("{}{}Connection: close\r\n\r\n", request.first, request.headers.concat());
    server.write_all(head.as_bytes())?;
    io::copy(&mut reader.take(request.length), &mut server)?;
    let mut client = client;
    if !half {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match server.read(&mut buffer)? {
                0 => return Ok(()),
                count => client.write_all(&buffer[..count])?,
            }
        }
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    client.write_all(&answer[..body + (answer.len() - body) / 2])
}
