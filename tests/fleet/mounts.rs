//! Real mounts and real relays, with the permissions that `omnifs relay acl` prints, on a twin of a service.

use super::world::bus;
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use omnifs::credentials::Secret;
use omnifs::events::bus::server::{self, Access, LEASES, STREAM};
use omnifs_support::tools::{await_content, read};
use omnifs_support::{Mounted, Omnifs, Server, skip, tied, wait_until};
use omnifs_twins::{GithubSetup, GithubTwin};
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
pub const SOON: Duration = Duration::from_secs(120);
/// An interval of polls that does not pass within a test.
const NEVER: &str = "3600000";
pub const TITLE: &str = "github/acme/api/_issues/_open/2853/title";
pub const SECRET: &str = "hook-secret";

/// What the users of the bus are permitted, and one that may do everything.
const USERS: [&str; 3] = ["mount", "relay", "spy"];

pub struct World {
    pub twin: GithubTwin,
    pub bus: Server,
    /// The printed permissions of a mount.
    acl: String,
    /// What mounts believe.
    pub relay_key: String,
    pub omnifs: Omnifs,
    _directory: tempfile::TempDir,
}

impl World {
    pub fn new(test: &str) -> Option<World> {
        World::with(test, "20000", "", "")
    }

    /// One whose mounts share answers. Whoever is slow is waited for longer.
    pub fn sharing(test: &str) -> Option<World> {
        World::with(test, "60000", "credential-file = 'token'", "share = 'credential'")
    }

    /// With more lines about GitHub and the fleet.
    fn with(test: &str, beat: &str, github: &str, fleet: &str) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let twin = GithubTwin::start(GithubSetup::default()).unwrap();
        let omnifs = Omnifs::new().unwrap().env("OMNIFS_WEBHOOK_SECRET_GITHUB", SECRET);
        // Whoever is slow is not taken for gone.
        let omnifs = omnifs.env("OMNIFS_BEAT_MS", beat);
        let key = omnifs.path("config/omnifs/relay.key");
        let made = omnifs.run(&["relay".as_ref(), "key".as_ref(), key.as_os_str()]).unwrap();
        assert!(made.status.success(), "{made:?}");
        let public = made.stdout.trim();
        let token = omnifs.path("config/omnifs/token");
        fs::write(&token, "token-of-a-group\n").unwrap();
        private(&token);
        let config = |bus: &str| {
            for user in USERS {
                let file = omnifs.path(&format!("config/omnifs/{user}.bus"));
                fs::write(&file, format!("{user}:word-of-{user}\n")).unwrap();
                private(&file);
            }
            let config = format!(
                "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
                 [instances.github]\n{github}\n[instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n\
                 [fleet]\nurl = 'nats://{bus}'\ncredentials-file = 'mount.bus'\n{fleet}\n\
                 relays = ['{public}']\nscopes.github = ['>']\n\
                 [relay]\nkey-file = 'relay.key'\ncredentials-file = 'relay.bus'\n",
                twin.url(),
                twin.storage_url()
            );
            omnifs.config(&config).unwrap();
        };
        config("127.0.0.1:4222");
        let acl = |more: &[&str]| {
            let ran = omnifs.run(&[&["relay", "acl"], more].concat()).unwrap();
            assert!(ran.status.success(), "{ran:?}");
            ran.stdout
        };
        let (mount, relay) = (acl(&[]), acl(&["--relay", "--user", "relay"]));
        let bus = bus(test, directory.path(), &accounts(&mount, &relay))?;
        config(bus.address());
        let relay_key = public.to_owned();
        Some(World { twin, bus, acl: mount, relay_key, omnifs, _directory: directory })
    }

    fn relay(&self, name: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Relay {
        let log = self.omnifs.path(&format!("{name}.log"));
        let mut command = self.omnifs.command();
        command.arg("relay").args(arguments).envs(environment.iter().copied());
        let output = File::create(&log).unwrap();
        command.stdout(output.try_clone().unwrap()).stderr(output);
        Relay { process: tied::spawn(command).unwrap(), log }
    }

    /// One that leads and does not poll, and where it takes webhooks. Somebody else may take a port between the moment
    /// it is found free and the relay's start.
    pub fn relay_for_webhooks(&self) -> (Relay, String) {
        for attempt in 1..=3 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let listening = format!("127.0.0.1:{port}");
            let arguments = ["--webhook-listen", &listening];
            let mut relay =
                self.relay(&format!("relay-{attempt}"), &[("OMNIFS_POLL_MS", NEVER)], &arguments);
            let leads = wait_until(SOON, || {
                let leads = relay.log().contains("this relay leads");
                let ended = relay.process.try_wait().unwrap().is_some();
                (leads || ended).then_some(leads)
            });
            match leads {
                Some(true) => return (relay, listening),
                Some(false) => eprintln!("the relay has ended:\n{}", relay.log()),
                None => panic!("the relay does not lead:\n{}", relay.log()),
            }
        }
        panic!("the relay ended three times");
    }

    /// The part of the subjects that the printed permissions name: `omnifs.want.PLACE.>`.
    pub fn place(&self) -> &str {
        let mut lines = self.acl.lines().map(|line| line.trim().trim_matches('"'));
        let want = lines.find_map(|line| line.strip_prefix("omnifs.want."));
        want.unwrap().strip_suffix(".>").unwrap()
    }

    pub async fn client(&self, user: &str) -> Client {
        let options = ConnectOptions::new()
            .user_and_password(user.to_owned(), format!("word-of-{user}"))
            .custom_inbox_prefix(format!("_INBOX_{user}"));
        options.connect(format!("nats://{}", self.bus.address())).await.unwrap()
    }
}

/// The accounts of a bus as `omnifs relay acl` prints them, and a spy beside the relay.
fn accounts(mount: &str, relay: &str) -> String {
    let said = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (imports, exports) = (said(mount), said(relay));
    format!(
        "accounts {{\n\
         HUB {{ jetstream: enabled, exports: [\n{exports}\n], users: [\n\
         {{ user: relay, password: word-of-relay\n{relay} }}\n\
         {{ user: spy, password: word-of-spy }}\n] }}\n\
         MOUNTS {{ imports: [\n{imports}\n], users: [\n\
         {{ user: mount, password: word-of-mount\n{mount} }}\n] }}\n}}"
    )
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

pub struct Relay {
    process: Child,
    log: PathBuf,
}

impl Relay {
    fn says(&self, what: &str) {
        let said = wait_until(SOON, || self.log().contains(what).then_some(()));
        assert!(said.is_some(), "no {what:?} in\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- output of omnifs relay ---\n{}---", self.log());
        }
        tied::stop(&mut self.process, Duration::from_secs(60));
    }
}

/// Waits until the mount is told of the issues by the bus.
pub fn await_told(mounted: &Mounted<'_>) {
    let told = || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?;
        let issues =
            scopes.iter().find(|row| row["scope"].as_str().unwrap().starts_with("issues:"))?;
        (issues["kind"] == "bus" && issues["state"] == "live").then_some(())
    };
    assert!(wait_until(SOON, told).is_some(), "{:?}", mounted.status());
}

#[test]
fn three_mounts_show_what_one_webhook_told_one_relay() {
    let Some(world) = World::new("fleet_mounts") else { return };
    let (_relay, listening) = world.relay_for_webhooks();
    world.twin.set_webhook(&format!("http://{listening}/hook/github"), SECRET).unwrap();
    let points = ["one", "two", "three"].map(|name| world.omnifs.path(name));
    let mounts = points.each_ref().map(|point| {
        fs::create_dir(point).unwrap();
        world.omnifs.mount_at::<&str>(point, &[]).unwrap()
    });
    let before = read(&mounts[0].join(TITLE));
    for mounted in &mounts {
        assert_eq!(read(&mounted.join(TITLE)), before);
        await_told(mounted);
        // What was read before it was told is asked for once more.
        read(&mounted.join(TITLE));
    }
    world.twin.clock().advance(Duration::from_secs(5));
    let seen = world.twin.requests().len();
    world.twin.retitle("acme/api", 2853, "Told by a relay").unwrap();
    for mounted in &mounts {
        await_content(&mounted.join(TITLE), "Told by a relay\n", SOON);
        await_told(mounted);
    }
    let requests = world.twin.requests();
    // One asks what changed: the feed of a repository's issues begins with its events.
    let polls = requests.iter().filter(|request| request.path.ends_with("/issues/events"));
    assert_eq!(polls.count(), 1, "{:?}", requests.iter().map(|r| r.line()).collect::<Vec<_>>());
    let issue = |path: &str| path.ends_with("/issues/2853");
    let reads = requests[seen..].iter().filter(|request| issue(&request.path)).count();
    assert!((1..=3).contains(&reads), "{reads} reads of the issue for three mounts");
    let doctor = world.omnifs.run(&["doctor"]).unwrap().stdout;
    for line in ["lets the mount in", "lets the relay in", "is one that mounts believe"] {
        assert!(doctor.contains(line), "{doctor}");
    }
}

#[test]
fn a_relay_that_stands_still_is_succeeded_and_can_append_nothing_when_it_goes_on() {
    let Some(world) = World::new("fleet_stopped") else { return };
    let quick = [("OMNIFS_BEAT_MS", "3000"), ("OMNIFS_POLL_MS", "200")];
    let first = world.relay("first", &quick, &[]);
    first.says("this relay leads");
    let second = world.relay("second", &quick, &[]);
    second.says("another relay leads");
    let mounted = world.omnifs.mount::<&str>(&[]).unwrap();
    read(&mounted.join(TITLE));
    await_told(&mounted);
    tied::signal(&first.process, Signal::STOP);
    second.says("this relay leads");
    await_told(&mounted);
    world.twin.clock().advance(Duration::from_secs(5));
    world.twin.retitle("acme/api", 2853, "Told by its successor").unwrap();
    await_content(&mounted.join(TITLE), "Told by its successor\n", SOON);
    tied::signal(&first.process, Signal::CONT);
    first.says("this relay leads no more");
    await_told(&mounted);
    world.twin.clock().advance(Duration::from_secs(5));
    world.twin.retitle("acme/api", 2853, "Told again").unwrap();
    await_content(&mounted.join(TITLE), "Told again\n", SOON);
    await_told(&mounted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_mounts_permissions_can_say_nothing_and_hears_its_own_scopes_alone() {
    let Some(world) = tokio::task::block_in_place(|| World::sharing("fleet_acl")) else { return };
    let relay = world.relay("relay", &[("OMNIFS_POLL_MS", NEVER)], &[]);
    tokio::task::block_in_place(|| relay.says("this relay leads"));
    let place = world.place();
    let key = format!("{place}.issues:.1");
    let (forger, spy) = (world.client("mount").await, world.client("spy").await);

    let mut heard = spy.subscribe(">").await.unwrap();
    spy.publish("omnifs.begin", "begin".into()).await.unwrap();
    hear(&mut heard, "begin").await;
    let publish = [
        format!("omnifs.scope.{key}"),
        format!("omnifs.now.{key}"),
        format!("omnifs.beat.{key}"),
        format!("omnifs.told.{place}"),
        "omnifs.want.other@1.0000000000000000.scope".to_owned(),
        format!("$KV.OMNIFS_LEASES.{place}.0"),
        "$JS.API.INFO".to_owned(),
        "$JS.API.STREAM.INFO.OMNIFS".to_owned(),
        "$JS.API.STREAM.NAMES".to_owned(),
        "$JS.API.STREAM.LIST".to_owned(),
        "$JS.API.STREAM.CREATE.OTHER".to_owned(),
        "$JS.API.STREAM.UPDATE.OMNIFS".to_owned(),
        "$JS.API.STREAM.PURGE.OMNIFS".to_owned(),
        "$JS.API.STREAM.DELETE.OMNIFS".to_owned(),
        "$JS.API.STREAM.MSG.GET.OMNIFS".to_owned(),
        "$JS.API.STREAM.MSG.DELETE.OMNIFS".to_owned(),
        "$JS.API.STREAM.SNAPSHOT.OMNIFS".to_owned(),
        "$JS.API.STREAM.RESTORE.OMNIFS".to_owned(),
        "$JS.API.CONSUMER.CREATE.OMNIFS".to_owned(),
        "$JS.API.CONSUMER.CREATE.OMNIFS.name".to_owned(),
        "$JS.API.CONSUMER.CREATE.OMNIFS.name.omnifs.scope.>".to_owned(),
        "$JS.API.CONSUMER.DURABLE.CREATE.OMNIFS.name".to_owned(),
        "$JS.API.CONSUMER.MSG.NEXT.OMNIFS.name".to_owned(),
        "$JS.API.CONSUMER.NAMES.OMNIFS".to_owned(),
        "$JS.API.CONSUMER.LIST.OMNIFS".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS".to_owned(),
        "$JS.hub.API.STREAM.INFO.OMNIFS".to_owned(),
        "$JS.hub.API.CONSUMER.CREATE.OMNIFS".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS.omnifs.scope.other@1.0000000000000000.scope".to_owned(),
        "$JS.API.DIRECT.GET.KV_OMNIFS_LEASES.$KV.OMNIFS_LEASES.x".to_owned(),
        "$JS.ACK.OMNIFS.name.1.1.1.1.1".to_owned(),
        // Answers that another user of the bus shares, and those of all.
        "omnifs.answer.other.name".to_owned(),
        "omnifs.answer.mount.name.more".to_owned(),
        "omnifs.fetch.other.name".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS_ANSWERS.omnifs.answer.other.name".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS_ANSWERS.omnifs.answer.>".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS_ANSWERS".to_owned(),
        "$JS.API.DIRECT.GET.OMNIFS_FETCHES.omnifs.fetch.mount.name".to_owned(),
        "$JS.API.STREAM.INFO.OMNIFS_ANSWERS".to_owned(),
        "$JS.API.STREAM.PURGE.OMNIFS_ANSWERS".to_owned(),
        "$JS.API.STREAM.MSG.GET.OMNIFS_ANSWERS".to_owned(),
        "$JS.API.CONSUMER.CREATE.OMNIFS_ANSWERS".to_owned(),
        "_INBOX_relay.x".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
    ];
    for subject in &publish {
        forger.publish(subject.clone(), "forged".into()).await.unwrap();
    }
    // A server does not check where the answer to a request goes. What the bus keeps, and what is no more than an error.
    let known = format!("omnifs.scope.{key}");
    let other = "omnifs.scope.other@1.0000000000000000.scope";
    let lease = format!("$KV.OMNIFS_LEASES.{place}.0");
    let spied = bus_of(&world, "spy").await;
    for subject in [known.as_str(), other] {
        spied.append(subject.to_owned(), 0, subject.into()).await.unwrap();
    }
    let kept = async || {
        let mut kept = Vec::new();
        for (stream, subject) in [(STREAM, known.as_str()), (STREAM, other), (LEASES, &lease)] {
            kept.push(spied.last(stream, subject).await.unwrap().unwrap());
        }
        // The relay renews its lease.
        kept.iter().map(|kept| kept.payload.clone()).collect::<Vec<_>>()
    };
    let before = kept().await;
    for asked in [known.clone(), format!("{known}.none")] {
        for reply in ["$JS.API.STREAM.DELETE.OMNIFS", &lease, other, &known] {
            let asked = format!("$JS.API.DIRECT.GET.OMNIFS.{asked}");
            forger.publish_with_reply(asked, reply.to_owned(), "".into()).await.unwrap();
        }
    }
    // One that is answered comes after them over the same connection.
    let mounts = format!("$JS.API.DIRECT.GET.OMNIFS.{known}");
    let answer = forger.request(mounts, "".into()).await.unwrap();
    assert_eq!(*answer.payload, *known.as_bytes());
    assert_eq!(kept().await, before);
    // What comes after them over the same connection, and is permitted.
    let last = format!("omnifs.want.{key}");
    forger.publish(last.clone(), "forged".into()).await.unwrap();
    assert_eq!(hear(&mut heard, "forged").await, last, "the first of them that came through");

    let subscribe = [
        ">",
        "*",
        "omnifs.>",
        "omnifs.*.>",
        "omnifs.scope.>",
        "omnifs.now.>",
        "omnifs.beat.>",
        "omnifs.want.>",
        "omnifs.told.>",
        "omnifs.answer.>",
        "omnifs.fetch.>",
        "$KV.>",
        "$JS.>",
        "_INBOX.>",
        "_INBOX_relay.>",
        "_INBOX_spy.>",
    ];
    let mut listening = Vec::new();
    for subject in subscribe {
        listening.push((subject, forger.subscribe(subject).await.unwrap()));
    }
    let mut own = forger.subscribe(format!("omnifs.now.{place}.>")).await.unwrap();
    forger.publish(last, "listening".into()).await.unwrap();
    hear(&mut heard, "listening").await;
    assert_eq!(kept().await, before);
    for subject in [
        "omnifs.now.other@1.0000000000000000.scope".to_owned(),
        format!("omnifs.scope.{key}"),
        format!("omnifs.beat.{place}"),
        format!("omnifs.told.{place}"),
        "_INBOX_relay.x".to_owned(),
        "omnifs".to_owned(),
    ] {
        spy.publish(subject, "spied".into()).await.unwrap();
    }
    // What comes last over the one connection has come after all the others.
    spy.publish(format!("omnifs.now.{key}"), "last".into()).await.unwrap();
    hear(&mut own, "last").await;
    for (subject, mut messages) in listening {
        let heard = futures_util::FutureExt::now_or_never(messages.next());
        assert!(!matches!(heard, Some(Some(_))), "{subject}: {heard:?}");
    }
}

pub async fn bus_of(world: &World, user: &str) -> server::Server {
    let text = Secret::new(format!("{user}:word-of-{user}"));
    let access = Access::new(&format!("nats://{}", world.bus.address()), None, Some(&text));
    let server = server::Server::connect(&access.unwrap()).await.unwrap();
    assert!(server.is_connected_within(SOON).await);
    server
}

/// Waits for a payload; the subject that it came on.
async fn hear(messages: &mut async_nats::Subscriber, payload: &str) -> String {
    loop {
        let message = tokio::time::timeout(SOON, messages.next()).await.unwrap().unwrap();
        if *message.payload == *payload.as_bytes() {
            return message.subject.to_string();
        }
    }
}
