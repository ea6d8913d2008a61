//! The files that ship, each against the server that it is for: what is added by a name alone shows what the server
//! says, and what its declared feed sees shows by the poll.

use crate::rest::{asked, curl};
use crate::{configure, home};
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, program, wait_until};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a change to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(60);
const EIO: i32 = 5;
const EACCES: i32 = 13;
const KEY: &str = "a-key-of-the-test";

/// A home, and a folder for a server in it. Nothing where a program is missing, which is said.
fn begin(test: &str, programs: &[&str]) -> Option<(Omnifs, PathBuf)> {
    let omnifs = home(test, programs)?.env("OMNIFS_POLL_MS", "100");
    let served = omnifs.path("served");
    fs::create_dir_all(&served).expect("a folder");
    Some((omnifs, served))
}

/// Adds the file that ships by its name, and mounts it.
fn mount<'o>(omnifs: &'o Omnifs, name: &str, server: &Server, own: &str) -> Mounted<'o> {
    let url = server.url();
    configure(omnifs, &format!("[instances.{name}]\nendpoints.{name} = '{url}'\n{own}"));
    let ran = omnifs.run(&["providers", "add", name, "--yes"]).expect("a run");
    assert!(ran.status.success(), "{ran:?}");
    omnifs.mount::<&str>(&[]).expect("mount")
}

fn key_file(omnifs: &Omnifs) -> String {
    let file = omnifs.path("key");
    fs::write(&file, KEY).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("permissions");
    format!("credential-file = '{}'\n", file.display())
}

/// Asks with the key.
fn keyed(server: &Server, arguments: &str, path: &str) -> String {
    curl(&format!("-H 'x-api-key: {KEY}' {arguments} '{}{path}'", server.url()))
}

fn line(text: &Value) -> String {
    format!("{}\n", text.as_str().map_or_else(|| text.to_string(), str::to_owned))
}

fn await_names(directory: &Path, names: &[&str]) {
    let same = || (list(directory).ok()? == names).then_some(());
    assert!(wait_until(SOON, same).is_some(), "{names:?}: {:?}", list(directory));
}

#[test]
fn files_that_ship_are_listed_and_added_by_their_names() {
    let Some(omnifs) = home("specs_listed", &[]) else { return };
    configure(&omnifs, "");
    let run = |arguments: &[&str]| {
        let ran = omnifs.run(arguments).expect("a run");
        assert!(ran.status.success(), "{ran:?}");
        ran.stdout
    };
    let rows = || -> Vec<Value> {
        serde_json::from_str(&run(&["providers", "list", "--json"])).expect("a list")
    };
    let state = |rows: &[Value], name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no {name}"))["state"].clone()
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/providers/specs");
    let names: Vec<String> = list(Path::new(folder)).expect("a folder");
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".toml")).collect();
    assert!(names.len() >= 8, "{names:?}");
    let before = rows();
    names.iter().for_each(|name| assert_eq!(state(&before, name), "declared"));
    assert!(
        run(&["providers", "info", "powerdns"]).contains("GET /api/v1/servers/localhost/zones/*")
    );
    run(&["providers", "add", "powerdns", "--yes"]);
    let after = rows();
    assert_eq!(state(&after, "powerdns"), "mounted");
    assert_eq!(after.iter().filter(|row| row["name"] == "powerdns").count(), 1);
}

#[test]
fn clients_of_nats_come_and_go() {
    let Some((omnifs, served)) = begin("specs_nats", &["nats-server", "curl"]) else { return };
    let server = Server::start("nats-server", &served, |at| {
        let port = at.rsplit(':').next().unwrap_or_default().to_owned();
        ["-a", "127.0.0.1", "-p", "-1", "-m"].map(str::to_owned).into_iter().chain([port]).collect()
    });
    let server = server.expect("a NATS server");
    let mounted = mount(&omnifs, "nats", &server, "");
    let at = |path: &str| mounted.join("nats").join(path);
    let about = asked(&server, "/varz");
    for (file, value) in [("version", "version"), ("id", "server_id"), ("payload", "max_payload")] {
        assert_eq!(read(&at("server").join(file)), line(&about[value]));
    }
    await_names(&at("connections"), &[]);
    let port = about["port"].as_u64().expect("a port");
    let mut client = TcpStream::connect(format!("127.0.0.1:{port}")).expect("a connection");
    client
        .write_all(b"CONNECT {\"verbose\":false,\"name\":\"worker\",\"lang\":\"none\"}\r\n")
        .expect("sent");
    let connected = || asked(&server, "/connz")["connections"][0]["cid"].as_u64();
    let id = wait_until(SOON, connected).expect("a client").to_string();
    let own = at("connections").join(&id);
    await_content(&own.join("name"), "worker\n", SOON);
    assert_eq!(read(&own.join("ip")), "127.0.0.1\n");
    await_names(&at("connections"), &[&id]);
    assert_eq!(list(&at("traffic")).expect("a directory"), [id.as_str()]);
    client.write_all(b"SUB jobs 1\r\n").expect("sent");
    await_content(&own.join("subscriptions"), "jobs\n", SOON);
    drop(client);
    await_gone(&own, SOON);
    await_names(&at("connections"), &[]);

    server.stop();
    let version = at("server/version");
    let fails = || (fs::read(&version).err()?.raw_os_error() == Some(EIO)).then_some(());
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read(&version));
    server.start_again().expect("the server");
    // Its id is another one at each start.
    let id = line(&asked(&server, "/varz")["server_id"]);
    await_content(&at("server/id"), &id, SOON);
}

#[test]
fn zones_of_powerdns_show_with_its_key_and_change_at_the_next_look() {
    let programs = ["pdns_server", "sqlite3", "curl"];
    let Some((omnifs, served)) = begin("specs_powerdns", &programs) else { return };
    const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
    if !Path::new(SCHEMA).exists() {
        return omnifs_support::skip("specs_powerdns", "pdns-backend-sqlite3 is not installed");
    }
    shell(&served, &format!("sqlite3 db < {SCHEMA}"));
    let server = Server::start("pdns_server", &served, |at| {
        let (_, port) = at.split_once(':').unwrap_or_default();
        let here = served.display();
        // It answers names at another address of loopback.
        let text = format!(
            "launch=gsqlite3\ngsqlite3-database={here}/db\nsocket-dir={here}\nsetuid=\nsetgid=\ndaemon=no\nguardian=no\n\
             api=yes\napi-key={KEY}\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={port}\n\
             local-address=127.0.0.2\nlocal-port={port}\nsecurity-poll-suffix=\n"
        );
        fs::write(served.join("pdns.conf"), text).expect("a file");
        vec![format!("--config-dir={here}")]
    });
    let server = server.expect("a PowerDNS");
    let mounted = mount(&omnifs, "powerdns", &server, "");
    assert_eq!(errno(&mounted.join("powerdns/server/version")), EACCES, "without its key");
    assert!(mounted.unmount());

    let zones = "/api/v1/servers/localhost/zones";
    let make = |name: &str| {
        let zone = format!(
            r#"-d '{{"name": "{name}.", "kind": "Native", "nameservers": ["ns.{name}."]}}'"#
        );
        keyed(&server, &zone, zones);
    };
    make("example.org");
    let mounted = mount(&omnifs, "powerdns", &server, &key_file(&omnifs));
    let at = |path: &str| mounted.join("powerdns").join(path);
    let said =
        |path: &str| -> Value { serde_json::from_str(&keyed(&server, "", path)).expect("JSON") };
    let about = said("/api/v1/servers/localhost");
    assert_eq!(read(&at("server/version")), line(&about["version"]));
    assert_eq!(read(&at("settings/local-address/value")), "127.0.0.2\n");
    let [name] = &list(&at("zones")).expect("a directory")[..] else { panic!("one zone") };
    let zone = at("zones").join(name);
    let serial = || said(zones)[0]["serial"].clone();
    assert_eq!(read(&zone.join("name")), "example.org.\n");
    assert_eq!(read(&zone.join("serial")), line(&serial()));
    let before = serial();
    let records = r#"{"rrsets": [{"name": "www.example.org.", "type": "A", "ttl": 60, "changetype": "REPLACE",
        "records": [{"content": "192.0.2.1", "disabled": false}]}]}"#;
    keyed(&server, &format!("-X PATCH -d '{records}'"), &format!("{zones}/example.org."));
    assert_ne!(serial(), before, "the server counts changes");
    await_content(&zone.join("serial"), &line(&serial()), SOON);
    let told = || read(&zone.join("records.json")).contains("192.0.2.1").then_some(());
    assert!(wait_until(SOON, told).is_some(), "{}", read(&zone.join("records.json")));
    let shown: Value = serde_json::from_str(&read(&zone.join("records.json"))).expect("JSON");
    assert_eq!(shown, said(&format!("{zones}/example.org."))["rrsets"]);
    make("example.net");
    let both = || (list(&at("zones")).ok()?.len() == 2).then_some(());
    assert!(wait_until(SOON, both).is_some(), "{:?}", list(&at("zones")));
    keyed(&server, "-X DELETE", &format!("{zones}/example.org."));
    await_gone(&zone, SOON);
    assert!(!mounted.log().contains(KEY), "{}", mounted.log());
}

#[test]
fn what_is_pushed_to_a_pushgateway_shows_by_its_labels() {
    let programs = ["prometheus-pushgateway", "curl"];
    let Some((omnifs, served)) = begin("specs_pushgateway", &programs) else { return };
    // Debian's build keeps a file where nothing else is said.
    let server = Server::start("prometheus-pushgateway", &served, |at| {
        vec![format!("--web.listen-address={at}"), "--persistence.file=".to_owned()]
    });
    let server = server.expect("a Pushgateway");
    let push = |group: &str, value: u64| {
        let url = server.url();
        curl(&format!("--data-binary 'backup_size {value}\n' {url}/metrics/{group}"));
    };
    push("job/backup/instance/db1", 3);
    push("job/backup/instance/db2", 4);
    let mounted = mount(&omnifs, "pushgateway", &server, "");
    let groups = mounted.join("pushgateway/groups");
    await_names(&groups, &["instance=db1,job=backup", "instance=db2,job=backup"]);
    let first = groups.join("instance=db1,job=backup");
    assert_eq!(read(&first.join("job")), "backup\n");
    assert_eq!(read(&first.join("instance")), "db1\n");
    assert_eq!(read(&first.join("successful")), "true\n");
    let version = asked(&server, "/api/v1/status")["data"]["build_information"]["version"].take();
    assert_eq!(read(&mounted.join("pushgateway/status/version")), line(&version));
    push("job/backup/instance/db1", 5);
    let told = || {
        let shown: Value = serde_json::from_str(&read(&first.join("metrics.json"))).ok()?;
        (shown["backup_size"]["metrics"][0]["value"] == "5").then_some(())
    };
    assert!(wait_until(SOON, told).is_some(), "{}", read(&first.join("metrics.json")));
    curl(&format!("-X DELETE {}/metrics/job/backup/instance/db1", server.url()));
    await_gone(&first, SOON);
    await_names(&groups, &["instance=db2,job=backup"]);
}

#[test]
fn folders_of_a_syncthing_are_added_renamed_and_removed() {
    let Some((omnifs, served)) = begin("specs_syncthing", &["syncthing", "curl"]) else { return };
    let omnifs = omnifs.env("STNOUPGRADE", "1");
    let server = Server::start("syncthing", &served, |at| {
        // It keeps to this machine: nothing announces it, and it looks for nobody.
        let text = format!(
            "<configuration version='36'><gui enabled='true' tls='false'><address>{at}</address><apikey>{KEY}</apikey></gui>\
             <options><listenAddress>tcp://127.0.0.1:0</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>\
             <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled>\
             <natEnabled>false</natEnabled><crashReportingEnabled>false</crashReportingEnabled><urAccepted>-1</urAccepted>\
             <autoUpgradeIntervalH>0</autoUpgradeIntervalH><stunServer></stunServer></options></configuration>"
        );
        fs::write(served.join("config.xml"), text).expect("a file");
        let home = format!("--home={}", served.display());
        let flags = ["--no-browser", "--no-default-folder", "--no-restart", "--no-upgrade"];
        ["serve".to_owned(), home].into_iter().chain(flags.map(str::to_owned)).collect()
    });
    let server = server.expect("a Syncthing");
    let folder = |label: &str| {
        let path = served.join("docs").display().to_string();
        let text =
            format!(r#"{{"id": "docs", "label": "{label}", "path": "{path}", "paused": true}}"#);
        keyed(&server, &format!("-X PUT -d '{text}'"), "/rest/config/folders/docs");
    };
    folder("Documents");
    let mounted = mount(&omnifs, "syncthing", &server, &key_file(&omnifs));
    let at = |path: &str| mounted.join("syncthing").join(path);
    let said =
        |path: &str| -> Value { serde_json::from_str(&keyed(&server, "", path)).expect("JSON") };
    assert_eq!(read(&at("system/version")), line(&said("/rest/system/version")["version"]));
    await_names(&at("folders"), &["docs"]);
    let own = at("folders/docs");
    assert_eq!(read(&own.join("label")), "Documents\n");
    assert_eq!(read(&own.join("paused")), "true\n");
    let device = said("/rest/config/devices")[0].clone();
    let [name] = &list(&at("devices")).expect("a directory")[..] else { panic!("one device") };
    assert_eq!(read(&at("devices").join(name).join("id")), line(&device["deviceID"]));
    folder("Papers");
    await_content(&own.join("label"), "Papers\n", SOON);
    keyed(&server, "-X DELETE", "/rest/config/folders/docs");
    await_gone(&own, SOON);
    await_names(&at("folders"), &[]);
}

#[test]
fn zones_of_a_bind_are_those_that_it_serves() {
    let named = "/usr/sbin/named";
    let Some((omnifs, served)) = begin("specs_bind", &[named, "curl"]) else { return };
    // Where AppArmor runs, Debian's profile keeps the program at its own path to its own folders.
    fs::copy(program(named).expect("it is there"), served.join("named")).expect("a copy");
    let here = served.display();
    let zone = |serial: u64| {
        let text =
            format!("$TTL 60\n@ SOA ns hostmaster {serial} 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n");
        fs::write(served.join("zone"), text).expect("a file");
    };
    zone(7);
    let own = served.join("named");
    let server = Server::start(own.to_str().expect("UTF-8"), &served, |at| {
        let (_, port) = at.split_once(':').unwrap_or_default();
        let text = format!(
            "options {{ directory \"{here}\"; listen-on {{ none; }}; listen-on-v6 {{ none; }}; pid-file none; recursion no; empty-zones-enable no; }};\n\
             controls {{ }};\n\
             statistics-channels {{ inet 127.0.0.1 port {port} allow {{ 127.0.0.1; }}; }};\n\
             zone \"example.test\" {{ type master; file \"zone\"; }};\n"
        );
        fs::write(served.join("named.conf"), text).expect("a file");
        vec!["-g".to_owned(), "-c".to_owned(), format!("{here}/named.conf")]
    });
    let server = server.expect("a BIND");
    let mounted = mount(&omnifs, "bind", &server, "");
    let at = |path: &str| mounted.join("bind").join(path);
    let zones = || asked(&server, "/json/v1/zones")["views"]["_default"]["zones"].take();
    let loaded = || (zones()[0]["serial"] == 7).then_some(());
    assert!(wait_until(SOON, loaded).is_some(), "{}", zones());
    await_content(&at("zones/example.test/serial"), "7\n", SOON);
    await_names(&at("zones"), &["example.test"]);
    assert_eq!(read(&at("zones/example.test/type")), line(&zones()[0]["type"]));
    let version = asked(&server, "/json/v1/status")["version"].take();
    assert_eq!(read(&at("server/version")), line(&version));
    // Another state of the zone, and another start.
    server.stop();
    zone(8);
    server.start_again().expect("the server");
    await_content(&at("zones/example.test/serial"), "8\n", SOON);
}
