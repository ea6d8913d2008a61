//! A server that answers byte by byte what a test scripts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What to do with a request.
pub enum Reply {
    Send(Vec<u8>),
    /// And close the connection.
    Last(Vec<u8>),
    /// Send, then neither send more nor close.
    Hang(Vec<u8>),
    /// Close the connection with a TCP reset.
    Reset,
    /// Send the first part, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
}

pub fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    Reply::Send(bytes)
}

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
pub struct Seen {
    requests: Mutex<Vec<String>>,
    pub connections: AtomicUsize,
}

impl Seen {
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Server {
    /// `reply` is given the number of the request, from 0, and its text.
    pub async fn start(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (reply, noted) = (Arc::new(reply), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                noted.connections.fetch_add(1, Ordering::SeqCst);
                let (reply, noted) = (reply.clone(), noted.clone());
                tokio::spawn(async move {
                    // With a zero linger time, closing sends a reset.
                    let linger = |stream: &tokio::net::TcpStream| {
                        #[allow(deprecated)]
                        stream.set_linger(Some(Duration::ZERO)).unwrap();
                    };
                    let mut stream = stream;
                    if converse(&mut stream, &*reply, &noted).await {
                        linger(&stream);
                    }
                });
            }
        });
        Server { address, seen, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The same on a unix socket, which has no address.
pub fn on_socket(
    path: &std::path::Path,
    reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> (Arc<Seen>, JoinHandle<()>) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    let seen = Arc::new(Seen::default());
    let (reply, noted) = (Arc::new(reply), seen.clone());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (reply, noted) = (reply.clone(), noted.clone());
            tokio::spawn(async move { converse(&mut stream, &*reply, &noted).await });
        }
    });
    (seen, task)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the requests of one connection. Whether it shall end with a reset.
pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    reply: &(impl Fn(usize, &str) -> Reply + ?Sized),
    seen: &Seen,
) -> bool {
    while let Some(request) = read_request(stream).await {
        let number = {
            let mut requests = seen.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        match reply(number, &request) {
            Reply::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return false;
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes).await;
                // Until the client gives up.
                let _ = stream.read(&mut [0; 1]).await;
                return false;
            }
            Reply::Reset => return true,
            Reply::Endless(first, again) => {
                let _ = stream.write_all(&first).await;
                while stream.write_all(&again).await.is_ok() {}
                return false;
            }
        }
    }
    false
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut byte).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&byte[..count]),
        }
    }
}
