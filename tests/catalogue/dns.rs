//! The provider `dns` against Debian's bind9, which answers over HTTPS, with `dig` to say what is right.

use crate::{configure, home};
use omnifs_support::tools::{await_content, errno, list, read};
use omnifs_support::{Mounted, Omnifs, tied, wait_until};
use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ENOENT: i32 = 2;

/// Where Debian has it, which is in no ordinary user's PATH.
const NAMED: &str = "/usr/sbin/named";

/// For a server to start, and for a change to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(60);

const PROGRAMS: &[&str] = &[NAMED, "dig"];

const TYPES: [&str; 7] = ["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT"];

/// What the zone `example.test` holds, below its SOA.
const ZONE: &str = r#"
@ NS ns
@ NS ns2.other.test.
@ MX 10 mail
@ MX 20 mail2.other.test.
@ TXT "v=spf1 -all"
@ TXT "one; and" "a \"second\" part" "\\ and \200"
@ A 192.0.2.1
@ A 192.0.2.2
@ AAAA 2001:db8::1
ns A 127.0.0.1
mail AAAA 2001:db8::25
www CNAME mail
_dmarc TXT "v=DMARC1; p=none"
below.empty TXT "deep"
"#;

/// Bind, with the zone `example.test`, on two ports: one for `dig`, one for HTTPS.
struct Bind {
    directory: PathBuf,
    named: Child,
    plain: u16,
    secure: u16,
}

/// A port that nobody uses, for now.
fn free_port() -> u16 {
    let found = wait_until(SOON, || {
        let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = tcp.local_addr().ok()?.port();
        UdpSocket::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    found.expect("a port")
}

impl Bind {
    fn start(directory: PathBuf) -> Bind {
        fs::create_dir_all(&directory).expect("a folder");
        // Where AppArmor runs, Debian's profile keeps the program at its own path to its own folders.
        fs::copy(NAMED, directory.join("named")).expect("a copy");
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a key");
        fs::write(directory.join("own.pem"), made.cert.pem()).expect("a certificate");
        fs::write(directory.join("own.key"), made.signing_key.serialize_pem()).expect("a key");
        write_zone(&directory, 1, ZONE);
        // Between the look for a port and its use another program may take it.
        for _ in 0..5 {
            let (plain, secure) = (free_port(), free_port());
            let mut named = run(&directory, plain, secure);
            let answers = wait_until(SOON, || {
                let ended = named.try_wait().expect("a child").is_some();
                (ended || !dig(plain, "example.test", "SOA").is_empty()).then_some(!ended)
            });
            let log = fs::read_to_string(directory.join("log")).expect("a log");
            if answers == Some(true) && !log.contains("address in use") {
                return Bind { directory, named, plain, secure };
            }
            tied::stop(&mut named, SOON);
        }
        let log = fs::read_to_string(directory.join("log"));
        panic!("named does not start: {}", log.unwrap_or_default());
    }

    fn mount<'o>(&self, omnifs: &'o Omnifs) -> Mounted<'o> {
        let own = self.directory.join("own.pem");
        let instance = format!(
            "[instances.dns.endpoints.dns]\nurl = 'https://127.0.0.1:{}'\nca-file = '{}'\n",
            self.secure,
            own.display()
        );
        configure(omnifs, &instance);
        omnifs.mount::<&str>(&[]).expect("mount")
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        tied::stop(&mut self.named, SOON);
    }
}

fn write_zone(directory: &Path, serial: u32, records: &str) {
    let head = "$TTL 300\n@ SOA ns hostmaster.mail";
    let zone = format!("{head} {serial} 3600 600 86400 60\n{records}");
    fs::write(directory.join("zone"), zone).expect("a zone");
}

fn run(directory: &Path, plain: u16, secure: u16) -> Child {
    let shown = directory.display();
    let mut text = String::new();
    let _ = write!(
        text,
        "tls own {{ cert-file \"{shown}/own.pem\"; key-file \"{shown}/own.key\"; }};\n\
         http own {{ endpoints {{ \"/dns-query\"; }}; }};\n\
         options {{\n directory \"{shown}\"; pid-file none; session-keyfile \"{shown}/session.key\";\n \
         recursion no; dnssec-validation no; notify no; listen-on-v6 {{ none; }};\n \
         listen-on port {plain} {{ 127.0.0.1; }};\n \
         listen-on port {secure} tls own http own {{ 127.0.0.1; }};\n}};\n\
         controls {{ }};\nzone \"example.test\" {{ type primary; file \"zone\"; }};\n"
    );
    let configuration = directory.join("named.conf");
    fs::write(&configuration, text).expect("a configuration");
    let log = fs::File::create(directory.join("log")).expect("a log");
    let mut named = Command::new(directory.join("named"));
    named.arg("-g").arg("-c").arg(configuration).stdin(Stdio::null()).stdout(Stdio::null());
    named.stderr(log);
    tied::spawn(named).expect("named")
}

/// What `dig` says, each record a line. Empty where nobody answers.
fn dig(port: u16, name: &str, kind: &str) -> Vec<String> {
    let mut dig = Command::new("dig");
    dig.args(["+short", "+time=20", "@127.0.0.1", "-p", &port.to_string(), name, kind]);
    let output = dig.output().expect("dig");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    if output.status.success() { sorted(&text) } else { Vec::new() }
}

/// A server may answer in any order.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_records_of_a_name_are_what_dig_says() {
    let Some(omnifs) = home("dns_records", PROGRAMS) else { return };
    let bind = Bind::start(omnifs.path("bind"));
    let mounted = bind.mount(&omnifs);
    let root = mounted.join("dns");
    assert_eq!(list(&root).expect("a listing"), ["AGENTS.md", "README.md"], "no name is listed");
    let mut files = TYPES.to_vec();
    files.extend(["_all", "_raw"]);
    let mut shown = list(&root.join("example.test")).expect("a listing");
    shown.sort();
    assert_eq!(shown, files);
    let mut count = 0;
    for name in ["example.test", "mail.example.test", "_dmarc.example.test"] {
        for kind in TYPES {
            let expected = dig(bind.plain, name, kind);
            assert_eq!(sorted(&read(&root.join(name).join(kind))), expected, "{name} {kind}");
            count += expected.len();
        }
    }
    assert!(count >= 12, "the zone was asked: {count}");
    // `dig` tells an alias with each type; here each file has its own type alone.
    let www = root.join("www.example.test");
    assert_eq!(read(&www.join("CNAME")), "mail.example.test.\n");
    assert_eq!(read(&www.join("AAAA")), "2001:db8::25\n");
    assert_eq!(read(&www.join("A")), "");
    let all = read(&www.join("_all"));
    assert!(all.starts_with("www.example.test. 300 IN CNAME mail.example.test.\n"), "{all}");
    let raw = fs::read(www.join("_raw")).expect("a file");
    assert!(raw.len() > 7 * 12, "seven messages: {}", raw.len());
}

#[test]
fn a_name_is_there_where_the_server_knows_it_and_a_change_shows_at_the_next_open() {
    let Some(omnifs) = home("dns_names", PROGRAMS) else { return };
    let bind = Bind::start(omnifs.path("bind"));
    let mounted = bind.mount(&omnifs);
    let root = mounted.join("dns");
    for absent in ["none.example.test", ".git", "Example.test", "a..b"] {
        assert_eq!(errno(&root.join(absent)), ENOENT, "{absent}");
    }
    // A name between others has no record, and exists.
    assert_eq!(read(&root.join("empty.example.test/TXT")), "");
    let (mail, new) = (root.join("mail.example.test/AAAA"), root.join("new.example.test/A"));
    assert_eq!(read(&mail).lines().count(), 1);
    let changed = ZONE.replace("mail AAAA 2001:db8::25", "mail AAAA 2001:db8::26");
    write_zone(&bind.directory, 2, &(changed + "new A 192.0.2.9\n"));
    tied::signal(&bind.named, rustix::process::Signal::HUP);
    await_content(&mail, "2001:db8::26\n", SOON);
    await_content(&new, "192.0.2.9\n", SOON);
}

#[test]
fn a_server_that_is_down_makes_no_name_absent() {
    let Some(omnifs) = home("dns_down", PROGRAMS) else { return };
    let mut bind = Bind::start(omnifs.path("bind"));
    let mounted = bind.mount(&omnifs);
    let file = mounted.join("dns/example.test/A");
    assert_eq!(read(&file).lines().count(), 2);
    tied::stop(&mut bind.named, SOON);
    let error = fs::read(&file).expect_err("nobody answers");
    assert_ne!(error.raw_os_error(), Some(ENOENT), "{error}");
}
