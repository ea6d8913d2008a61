//! Who may say something on the bus without being a relay that is believed: it has no effect.

use super::world::*;
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use omnifs::events::bus::chain::{Link, Writer};
use omnifs::events::bus::message::{Message, State, VERSION};
use omnifs::events::bus::server::STREAM;
use omnifs_memory::SCOPE;
use omnifs_support::Server;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// Somebody who may say and hear everything.
async fn anybody(bus: &Server) -> Client {
    let url = format!("nats://{}", bus.address());
    ConnectOptions::new().connect(url).await.unwrap()
}

type Heard = Arc<Mutex<Vec<async_nats::Message>>>;

async fn listen(client: &Client) -> Heard {
    let heard = Heard::default();
    for subject in ["omnifs.now.>", "omnifs.beat.>"] {
        let (mut messages, heard) = (client.subscribe(subject).await.unwrap(), heard.clone());
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                heard.lock().unwrap().push(message);
            }
        });
    }
    for subject in ["omnifs.now.begin", "omnifs.beat.begin"] {
        client.publish(subject, "begin".into()).await.unwrap();
    }
    until("it listens", async || heard.lock().unwrap().len() == 2).await;
    heard.lock().unwrap().clear();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_before_has_no_effect_when_it_is_said_again_or_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let forger = anybody(&bus).await;
    let heard = listen(&forger).await;
    let _relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let server = connect(&bus, None).await;
    let core = Core::told(&service, server, &[signer.public()], rhythm()).await;
    for title in ["second", "third"] {
        service.set_title(title);
        core.shows(title).await;
    }
    let said = heard.lock().unwrap().clone();
    assert!(said.iter().any(|message| message.subject.starts_with("omnifs.now.")));
    assert!(said.iter().any(|message| message.subject.starts_with("omnifs.beat.")));
    let before = core.view.calls();
    for message in said.iter().chain(said.iter().rev()) {
        forger.publish(message.subject.clone(), message.payload.clone()).await.unwrap();
    }
    // Of another scope, under this one's subject.
    let other = place().key("another").now();
    let key = place().key(SCOPE);
    let mut writer = Writer::begin().unwrap();
    writer.push(Link::gap());
    let message = Message {
        v: VERSION,
        n: writer.position().n,
        base: writer.base(),
        win: writer.window(),
        state: State::Lost,
        cursor: None,
        sig: String::new(),
    };
    let moved = message.signed(&signer, &place().key("another")).unwrap();
    forger.publish(other, moved.clone().into()).await.unwrap();
    forger.publish(key.now(), moved.into()).await.unwrap();
    until("it has heard all of that", async || core.unreadable() > 0).await;
    assert!(core.is_live());
    assert_eq!(
        (core.cat("title").await.as_str(), core.cat("other").await.as_str()),
        ("third", "other")
    );
    assert_eq!(core.view.calls(), before);
    service.set_title("fourth");
    core.shows("fourth").await;
    assert_eq!(core.calls_for_other().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_with_another_key_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let server = connect(&bus, None).await;
    let core = Core::told(&service, server, &[signer.public()], rhythm()).await;
    let leader = relay.relay.clone();
    drop(relay);
    leader.release().await;
    let before = (core.unreadable(), core.view.calls());
    let other = Relaying::start(&service, connect(&bus, None).await, &self::signer(), rhythm());
    until("the other leads", async || other.relay.leads()).await;
    until("its messages are heard", async || core.unreadable() > before.0).await;
    assert_eq!(core.view.calls(), before.1);
    until("it is said why", async || {
        let why = core.feeds.status().remove(0).last_error.unwrap_or_default();
        why.contains("not signed with the key of a relay")
    })
    .await;
    assert_eq!(core.cat("title").await, "first");
}

/// As an answer of the server is kept that somebody had sent to the scope's subject: with the server's headers twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_somebody_overwrites_is_begun_anew_and_missed_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet", dir.path(), "") else { return };
    let (service, signer) = (Service::new(), signer());
    let relay = Relaying::start(&service, connect(&bus, None).await, &signer, rhythm());
    let server = connect(&bus, None).await;
    let core = Core::told(&service, server.clone(), &[signer.public()], rhythm()).await;
    // Nobody else writes to the second.
    let subjects = [SCOPE, "another"].map(|scope| place().key(scope).scope());
    for (title, status) in [("second", "NATS/1.0"), ("third", "NATS/1.0 404 Message Not Found")] {
        let headers =
            format!("{status}\r\nNats-Subject: omnifs.scope.a\r\nNats-Sequence: 1\r\n\r\n");
        for subject in &subjects {
            tokio::task::block_in_place(|| say(&bus, subject, &headers, title));
        }
        until("it is kept, and read as what it is", async || {
            let kept = server.last(STREAM, &subjects[1]).await.unwrap();
            kept.is_some_and(|kept| kept.sequence > 1 && *kept.payload == *title.as_bytes())
        })
        .await;
        // Before anything changes: a listing that shows a change has asked for all of the directory.
        until("it is not known what was missed", async || core.calls_for_other().await > 0).await;
        service.set_title(title);
        core.shows(title).await;
        until("it is told again", async || core.is_live()).await;
        assert!(relay.relay.leads() && core.view.polls() == 0);
    }
}

/// Publishes with a header as no client would write it.
fn say(bus: &Server, subject: &str, headers: &str, payload: &str) {
    let mut stream = TcpStream::connect(bus.address()).unwrap();
    let (length, all) = (headers.len(), headers.len() + payload.len());
    let said = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\n\
         HPUB {subject} {length} {all}\r\n{headers}{payload}\r\nPING\r\n"
    );
    stream.write_all(said.as_bytes()).unwrap();
    // Then the server has had all of it.
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let end = lines.find(|line| line == "PONG" || line.starts_with("-ERR"));
    assert_eq!(end.as_deref(), Some("PONG"));
}
