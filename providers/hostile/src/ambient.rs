//! Tries every door of the sandbox and reports, one line each, what was behind it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

pub fn report() -> String {
    let mut lines = String::new();
    let mut say = |door: &str, seen: String| lines.push_str(&format!("{door}: {seen}\n"));

    say("env", std::env::vars().count().to_string());
    say("args", std::env::args().count().to_string());
    say("list /", outcome(std::fs::read_dir("/").map(|_| ())));
    say("list .", outcome(std::fs::read_dir(".").map(|_| ())));
    say("read", outcome(std::fs::read("/etc/passwd").map(|_| ())));
    say("write", outcome(std::fs::write("out", "x")));
    say("temp", outcome(std::fs::create_dir("/tmp/x")));
    let mut input = Vec::new();
    say("stdin", outcome(std::io::stdin().read_to_end(&mut input).map(|_| ())));
    say("stdin bytes", input.len().to_string());
    say("stdout", outcome(std::io::stdout().write_all(b"x\n")));
    say("connect", outcome(TcpStream::connect("127.0.0.1:9").map(|_| ())));
    say("listen", outcome(TcpListener::bind("127.0.0.1:0").map(|_| ())));
    say("udp", outcome(UdpSocket::bind("127.0.0.1:0").map(|_| ())));
    say("resolve", outcome("localhost:80".to_socket_addrs().map(|_| ())));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    say("clock", (start.elapsed() >= Duration::from_millis(2)).to_string());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    say("date", since.is_ok_and(|since| since.as_secs() > 1_600_000_000).to_string());
    lines
}

fn outcome(result: std::io::Result<()>) -> String {
    match result {
        Ok(()) => "OPEN".into(),
        Err(_) => "shut".into(),
    }
}

/// What tells one call from another.
pub fn moment() -> String {
    let (date, random) = (SystemTime::now(), random());
    format!("{date:?} {random} {:?}", Instant::now().elapsed())
}

/// A number that the host's random source decides.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
