//! The imports of a component, for the thread of one test.

use super::recorded::{self, Recorded};
use crate::bindings::database::omnifs::provider::sql::{Rows, Value};
use crate::bindings::service::omnifs::provider::http::Response;
use crate::bindings::service::omnifs::provider::log::Level;
use crate::bindings::service::omnifs::provider::preload::{Coverage, Walk};
use crate::bindings::service::omnifs::provider::types::{Error, Method, Node, Request};
use crate::manifest::{Bodies, Manifest, ParameterKind, Setting, Statement};
use std::cell::RefCell;

/// What the provider did during a call.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub requests: Vec<Request>,
    /// Statements, as [`recorded::call`] writes them.
    pub queries: Vec<String>,
    pub offers: Vec<(String, Vec<Node>, bool)>,
    pub contents: Vec<(String, Vec<u8>)>,
    pub partials: Vec<(String, u32, String)>,
    pub log: Vec<String>,
}

struct Host {
    manifest: Manifest,
    upstream: Recorded,
    trace: Trace,
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Runs `call` with these imports, and gives back the upstream and what was done.
pub(crate) fn run<T>(
    manifest: Manifest,
    upstream: &mut Recorded,
    call: impl FnOnce() -> T,
) -> (T, Trace) {
    let host = Host { manifest, upstream: std::mem::take(upstream), trace: Trace::default() };
    let before = HOST.replace(Some(host));
    assert!(before.is_none(), "a provider call cannot start another one");
    let value = call();
    let host = HOST.take().expect("the host stays until its call returns");
    *upstream = host.upstream;
    (value, host.trace)
}

fn with<T>(act: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(|host| {
        act(host.as_mut().expect("imports are called inside testing::Mount only"))
    })
}

pub(crate) fn fetch(request: &Request) -> Result<Response, Error> {
    with(|host| {
        let line = recorded::line(request);
        assert!(allowed(&host.manifest, request), "the manifest does not allow {line}");
        host.trace.requests.push(request.clone());
        let answer = host.upstream.take(request);
        answer.unwrap_or_else(|| panic!("no exchange was recorded for {line}"))
    })
}

pub(crate) fn query(endpoint: &str, name: &str, given: &[Value]) -> Result<Rows, Error> {
    with(|host| {
        let call = recorded::call(name, given);
        let own = host.manifest.endpoints.iter().find(|own| own.name == endpoint);
        let statement = own.and_then(|own| own.statements.iter().find(|own| own.name == name));
        let fits = |statement: &Statement| {
            let pairs = statement.parameters.iter().zip(given);
            statement.parameters.len() == given.len() && pairs.into_iter().all(|(p, v)| fit(p.1, v))
        };
        assert!(statement.is_some_and(fits), "the manifest does not allow {call}");
        host.trace.queries.push(call.clone());
        host.upstream.rows(&call).unwrap_or_else(|| panic!("no rows were recorded for {call}"))
    })
}

fn fit(kind: ParameterKind, value: &Value) -> bool {
    match kind {
        ParameterKind::Value => true,
        ParameterKind::Integer => matches!(value, Value::Integer(_)),
        ParameterKind::Text | ParameterKind::Identifier => matches!(value, Value::Text(_)),
    }
}

pub(crate) fn offer(parent: &str, children: &[Node], coverage: Coverage) {
    let whole = matches!(coverage, Coverage::Whole);
    with(|host| host.trace.offers.push((parent.to_owned(), children.to_vec(), whole)));
}

pub(crate) fn content(node: &str, bytes: &[u8]) {
    with(|host| host.trace.contents.push((node.to_owned(), bytes.to_vec())));
}

/// Each file is read by itself here.
pub(crate) fn ahead() -> Option<Walk> {
    None
}

pub(crate) fn partial(directory: &str, shown: u32, note: &str) {
    with(|host| host.trace.partials.push((directory.to_owned(), shown, note.to_owned())));
}

pub(crate) fn config(key: &str) -> Option<String> {
    with(|host| {
        let Setting { default, .. } =
            host.manifest.config.iter().find(|setting| setting.name == key)?;
        host.upstream.config.get(key).cloned().or_else(|| default.map(str::to_owned))
    })
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    // A test may read an answer without a mount.
    HOST.with_borrow_mut(|host| {
        host.iter_mut().for_each(|host| host.trace.log.push(format!("{level}: {message}")));
    });
}

/// Whether a rule of the request's endpoint covers it, segment by segment. As the host does, it takes a path that begins
/// with `/@` for none.
fn allowed(manifest: &Manifest, request: &Request) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    let mut endpoints =
        manifest.endpoints.iter().filter(|endpoint| endpoint.name == request.endpoint);
    if path.starts_with("/@") {
        return false;
    }
    endpoints.any(|endpoint| {
        endpoint.allow.iter().any(|rule| {
            let method: Method = rule.method.into();
            method == request.method && rule.allows(path)
        }) && may_say(endpoint.bodies.as_ref(), request)
    })
}

/// Whether the body says what it may; the host reads it more strictly.
fn may_say(bodies: Option<&Bodies>, request: &Request) -> bool {
    let Some(bodies) = bodies.filter(|_| matches!(request.method, Method::Post)) else {
        return true;
    };
    let body: serde_json::Value =
        serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap_or_default();
    body[bodies.member].as_str().is_some_and(|said| bodies.values.contains(&said))
}
