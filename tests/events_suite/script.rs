//! A provider whose feeds do what a test says.

use futures_util::FutureExt;
use omnifs::provider::{
    Answer, Cause, Change, Delivery, Failure, Method, Node, Position, Progress, Provider, Reply,
    Request, ScopedChange,
};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

/// Lines and bodies are `WORD ID`: `changed x`, `resumed 7`, `panic`, `slow`; anything else is
/// invalid. The cursor is the number of the last line.
#[derive(Debug, Default)]
pub struct Script {
    /// The path of each stream that was opened.
    pub opened: Mutex<Vec<String>>,
    pub polled: Mutex<Vec<Position>>,
    /// By scope, what polls answer; the last one repeats.
    pub polls: Mutex<HashMap<String, Vec<Poll>>>,
    pub delivered: Mutex<Vec<Delivery>>,
    /// Deliveries wait while this is held.
    pub gate: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
pub enum Poll {
    Progress(Progress),
    Fail(Cause, &'static str, Option<Duration>),
    Panic,
    Hang,
}

pub fn failure(cause: Cause, detail: &str) -> Failure {
    Failure { provider: "example".into(), cause, detail: detail.to_owned(), retry_after: None }
}

fn read(line: &[u8], cursor: Option<&str>) -> Result<Progress, Failure> {
    let text = std::str::from_utf8(line).unwrap_or("?");
    let (word, id) = text.split_once(' ').unwrap_or((text, ""));
    let number = cursor.map_or(0, |cursor| cursor.parse::<u64>().unwrap());
    let mut progress = Progress { cursor: Some((number + 1).to_string()), ..Progress::default() };
    match word {
        "changed" => progress.changes.push(Change::Invalidated(id.into())),
        "resumed" => progress.resumed = true,
        "panic" => panic!("the script panics"),
        _ => return Err(failure(Cause::Invalid, "the service sent something that is no event")),
    }
    Ok(progress)
}

impl Provider for Script {
    fn lookup_child<'a>(&'a self, _: &'a str, _: &'a str) -> Reply<'a, Answer<Node>> {
        async { Err(failure(Cause::NotFound, "none")) }.boxed()
    }

    fn list_children<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        async { Err(failure(Cause::NotFound, "none")) }.boxed()
    }

    fn read_file<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Bytes>> {
        async { Err(failure(Cause::NotFound, "none")) }.boxed()
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        let path = match &position.cursor {
            Some(cursor) => format!("/events?since={cursor}"),
            None => "/events".to_owned(),
        };
        self.opened.lock().unwrap().push(path.clone());
        let request = Request {
            endpoint: "engine".to_owned(),
            method: Method::Get,
            path,
            headers: Vec::new(),
            body: None,
        };
        async { Ok(request) }.boxed()
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        async move { read(&line, position.cursor.as_deref()) }.boxed()
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.polled.lock().unwrap().push(position.clone());
        let mut polls = self.polls.lock().unwrap();
        let answers = polls.get_mut(&position.scope).expect("only active scopes are polled");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        drop(polls);
        async move {
            match answer {
                Poll::Progress(progress) => Ok(progress),
                Poll::Fail(cause, detail, retry_after) => {
                    Err(Failure { retry_after, ..failure(cause, detail) })
                }
                Poll::Panic => panic!("the script panics"),
                Poll::Hang => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        async move {
            let _open = self.gate.lock().await;
            let body = serde_json::from_slice::<serde_json::Value>(&delivery.body);
            let text = |name: &str| Some(body.as_ref().ok()?[name].as_str()?.to_owned());
            let (change, scope) = (text("changed"), text("scope"));
            self.delivered.lock().unwrap().push(delivery);
            match change {
                Some(id) => {
                    let change = Change::Invalidated(id.into());
                    Ok(vec![ScopedChange { scope: scope.map(Into::into), change }])
                }
                None => Err(failure(Cause::Invalid, "the delivery names no object")),
            }
        }
        .boxed()
    }
}
