//! Cores that are told by a relay, and what they ask for.

use super::world::*;
use omnifs::events::bus::Rhythm;
use omnifs::events::bus::server::{Error, STREAM};
use omnifs::provider::Change;
use omnifs_memory::SCOPE;
use rustix::process::Signal;
use std::time::Duration;

/// Cores of one service.
const CORES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_relay_asks_and_fifty_mounts_know_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let mut cores = Vec::new();
    for _ in 0..CORES {
        let server = connect(&bus, None).await;
        cores.push(Core::told(&service, server, &[signer.public()], rhythm()).await);
    }
    let before: Vec<_> = cores.iter().map(|core| core.view.calls()).collect();
    for core in &cores {
        assert_eq!((core.cat("title").await.as_str(), core.calls_for_other().await), ("first", 0));
    }
    service.set_title("second");
    for (core, before) in cores.iter().zip(before) {
        core.shows("second").await;
        // The name and the content.
        let calls = core.view.calls() - before;
        assert!((1..=2).contains(&calls), "{calls} calls");
        assert_eq!(core.calls_for_other().await, 0);
        assert_eq!(core.view.polls(), 0, "it is the relay that asks");
        assert!(core.feeds.status().iter().all(|row| row.kind == "bus"));
    }
    assert!(relay.view.polls() > 0 && relay.relay.leads());
    // What a relay says is gone is asked for: it may lie.
    service.say([Change::Removed("id-title".into())]);
    let core = &cores[0];
    let before = core.view.calls();
    until("it is asked for", async || {
        assert_eq!(core.cat("title").await, "second");
        core.view.calls() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_crashes_between_two_changes_costs_no_request_for_what_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let _relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let mut cores = Vec::new();
    for _ in 0..8 {
        let server = connect(&bus, None).await;
        cores.push(Core::told(&service, server, &[signer.public()], rhythm()).await);
    }
    service.set_title("second");
    for core in &cores {
        core.shows("second").await;
    }
    bus.kill();
    for core in &cores {
        until("it is lost", async || !core.is_live()).await;
    }
    service.set_title("third");
    bus.start_again().unwrap();
    for core in &cores {
        until("it is told again", async || core.is_live()).await;
        core.shows("third").await;
        assert_eq!(core.calls_for_other().await, 0, "nothing of it was missed");
        assert_eq!(core.view.polls(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_changes_at_once_as_the_window_holds_are_no_gap_and_one_more_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let _relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let server = connect(&bus, None).await;
    let core = Core::told(&service, server, &[signer.public()], rhythm()).await;
    for (missed, calls) in [(63, 0), (64, 0), (65, 1)] {
        let title = format!("after {missed}");
        {
            // One poll tells all of them, and so does one message.
            let _closed = service.gate.lock().await;
            service.say((1..missed).map(|n| Change::Invalidated(format!("id-{n}").into())));
            service.set_title(&title);
        }
        core.shows(&title).await;
        // A gap has it asked for, by its name.
        assert_eq!(core.calls_for_other().await, calls, "{missed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_put_back_to_an_earlier_state_is_a_gap_and_nothing_is_stale() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let _relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let mut cores = Vec::new();
    for _ in 0..4 {
        let server = connect(&bus, None).await;
        cores.push(Core::told(&service, server, &[signer.public()], rhythm()).await);
    }
    let (store, snapshot) = (dir.path().join("store"), dir.path().join("snapshot"));
    bus.stop();
    copy(&store, &snapshot);
    bus.start_again().unwrap();
    for core in &cores {
        until("it is told again", async || core.is_live()).await;
    }
    for title in ["second", "third"] {
        service.set_title(title);
        for core in &cores {
            core.shows(title).await;
            assert_eq!(core.calls_for_other().await, 0);
        }
    }
    bus.stop();
    for core in &cores {
        until("it is lost", async || !core.is_live()).await;
    }
    service.set_title("fourth");
    // The relay would tell the same changes again, and they would be the same chain: then nothing was missed.
    let closed = service.gate.lock().await;
    let heard: Vec<_> = cores.iter().map(Core::heard).collect();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&snapshot, &store);
    bus.start_again().unwrap();
    for (core, heard) in cores.iter().zip(heard) {
        until("it has read what the bus keeps", async || core.heard() > heard).await;
    }
    drop(closed);
    for core in &cores {
        until("it is told again", async || core.is_live()).await;
        assert!(core.calls_for_other().await > 0, "it is not known what was missed");
        core.shows("fourth").await;
        assert_eq!(core.calls_for_other().await, 0);
    }
    service.set_title("fifth");
    for core in &cores {
        core.shows("fifth").await;
        assert_eq!(core.calls_for_other().await, 0);
    }
}

pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_speaks_for_is_lost_then_polled_and_told_again_by_the_next_relay() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let quick = Rhythm::at(Duration::from_millis(300));
    let relay = Relaying::start(&service, connect(&bus, None).await, &signer, quick.clone());
    let server = connect(&bus, None).await;
    let core = Core::start(&service, server, &[signer.public()], quick.clone()).await;
    let by_bus = || {
        let rows = core.feeds.status();
        rows.iter().all(|row| row.kind == "bus")
    };
    until("it is told", async || core.is_live() && by_bus()).await;
    // A start that took long has polled already.
    let before = core.view.polls();
    drop(relay);
    // Three beats are missed, and nothing comes for the time that a mount waits.
    until("it polls", async || core.view.polls() > before).await;
    service.set_title("second");
    core.shows("second").await;
    until("it is live by its own polls", async || core.is_live()).await;
    assert!(!by_bus());
    let _next = Relaying::start(&service, connect(&bus, None).await, &signer, quick);
    until("it is told again", async || core.is_live() && by_bus()).await;
    service.set_title("third");
    core.shows("third").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_whose_bus_cannot_be_reached_polls_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let service = Service::new();
    let server = connect(&bus, None).await;
    bus.stop();
    let quick = Rhythm::at(Duration::from_millis(100));
    let core = Core::start(&service, server, &[signer().public()], quick).await;
    until("it is live by its own polls", async || core.is_live()).await;
    assert!(core.view.polls() > 0);
    service.set_title("second");
    core.shows("second").await;
}

/// A mount whose own server answers does not see that the one behind it stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_stands_still_behind_a_leaf_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (hub_dir, leaf_dir) = (dir.path().join("hub"), dir.path().join("leaf"));
    // As docs/fleet.md has it: the leaf is of an account without JetStream.
    let listens = r#"
        leafnodes {
          listen: "127.0.0.1:-1"
          authorization { users: [ { user: leaf, password: word-of-leaf, account: MOUNTS } ] }
        }
        accounts {
          HUB {
            jetstream: enabled
            exports: [
              { service: "$JS.API.DIRECT.GET.OMNIFS.>" }
              { service: "omnifs.want.>" }
              { stream: "omnifs.now.>" }
              { stream: "omnifs.beat.>" }
            ]
            users: [ { user: relay, password: word-of-relay } ]
          }
          MOUNTS {
            imports: [
              { service: { account: HUB, subject: "$JS.API.DIRECT.GET.OMNIFS.>" } }
              { service: { account: HUB, subject: "omnifs.want.>" } }
              { stream: { account: HUB, subject: "omnifs.now.>" } }
              { stream: { account: HUB, subject: "omnifs.beat.>" } }
            ]
          }
        }
    "#;
    let Some(hub) = bus("fleet", &hub_dir, listens) else { return };
    let log = std::fs::read_to_string(hub_dir.join("nats-server.log")).unwrap();
    let said = "Listening for leafnode connections on ";
    let address = log.lines().find_map(|line| line.split_once(said)).unwrap().1;
    let remote =
        format!("leafnodes {{ remotes: [ {{ url: \"nats://leaf:word-of-leaf@{address}\" }} ] }}");
    let Some(leaf) = nats("fleet", &leaf_dir, &remote) else { return };
    let (service, signer) = (Service::new(), signer());
    let quick = Rhythm { lease: Duration::from_secs(10), ..Rhythm::at(Duration::from_millis(500)) };
    let quiet = Rhythm { away: Duration::from_secs(3_600), ..quick.clone() };
    let _relay = Relaying::start(&service, connect(&hub, Some("relay")).await, &signer, quick);
    let server = connect(&leaf, None).await;
    let core = Core::told(&service, server.clone(), &[signer.public()], quiet).await;
    hub.signal(Signal::STOP);
    until("it is lost", async || !core.is_live()).await;
    assert!(server.connection().borrow().is_some(), "its own server is there");
    service.set_title("second");
    core.shows("second").await;
    hub.signal(Signal::CONT);
    until("it is told again", async || core.is_live()).await;
    service.set_title("third");
    core.shows("third").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_relays_one_asks_and_the_other_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let first = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    until("one leads", async || first.relay.leads()).await;
    let second = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let server = connect(&bus, None).await;
    let core = Core::told(&service, server.clone(), &[signer.public()], rhythm()).await;
    service.set_title("second");
    core.shows("second").await;
    assert!(first.relay.leads() && !second.relay.leads());
    assert_eq!(second.view.polls(), 0);
    let subject = place().key(SCOPE).scope();
    let known = server.last(STREAM, &subject).await.unwrap().unwrap();
    let relay = first.relay.clone();
    drop(first);
    service.set_title("third");
    relay.release().await;
    until("the other leads", async || second.relay.leads()).await;
    core.shows("third").await;
    until("it is told", async || core.is_live()).await;
    assert_eq!(core.calls_for_other().await, 0, "the other has gone on where it stopped");
    // What the first would have appended next.
    let late = server.append(subject.clone(), known.sequence, known.payload.to_vec()).await;
    assert_eq!(late, Err(Error::Overtaken));
    let now = server.last(STREAM, &subject).await.unwrap().unwrap();
    assert!(now.sequence > known.sequence);
}
