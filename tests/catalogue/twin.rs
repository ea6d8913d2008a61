//! A service on loopback whose answers a test says, for what no real server can be made to do.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The time that each answer says: its service's clock stands still.
pub const DATE: &str = "Thu, 01 Jan 2026 00:10:00 GMT";

#[derive(Debug, Default)]
struct State {
    /// By path with query. Answers that follow are given in turn, the last one from then on.
    answers: BTreeMap<String, VecDeque<String>>,
    asked: Vec<String>,
    headers: String,
}

/// It ends with the test's process.
#[derive(Debug)]
pub struct Twin {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Twin {
    pub fn start() -> Twin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let served = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = served.clone();
                // Who goes away before the answer needs none.
                thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        Twin { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on the path is answered with these, one after the other.
    pub fn answers(&self, path: &str, bodies: &[&str]) {
        let bodies = bodies.iter().map(|body| (*body).to_owned()).collect();
        self.state().answers.insert(path.to_owned(), bodies);
    }

    /// From now on the path is answered with 404.
    pub fn forgets(&self, path: &str) {
        self.state().answers.remove(path);
    }

    /// Requests so far whose path does not begin with `but`.
    pub fn asked(&self, but: &str) -> usize {
        self.state().asked.iter().filter(|path| !path.starts_with(but)).count()
    }

    /// Whether a header with this text has come.
    pub fn heard(&self, text: &str) -> bool {
        self.state().headers.contains(text)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    // A GET has no body.
    let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: Vec<String> = headers.collect();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(path.clone());
        state.headers.extend(headers);
        state.answers.get_mut(&path).and_then(|bodies| match bodies.len() {
            0 | 1 => bodies.front().cloned(),
            _ => bodies.pop_front(),
        })
    };
    let (status, body) = body.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\ndate: {DATE}\r\ncontent-type: application/json\r\n");
    let length = body.len();
    (&stream).write_all(
        format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
    )
}
