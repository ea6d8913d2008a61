//! The one door to the imports: the component's own on wasm, the test host's elsewhere.

use crate::Result;
use crate::bindings::database::omnifs::provider::sql::{Rows, Value};
use crate::bindings::service::omnifs::provider::http::Response;
use crate::bindings::service::omnifs::provider::log::Level;
use crate::bindings::service::omnifs::provider::preload::{Coverage, Walk};
use crate::bindings::service::omnifs::provider::types::{Node, Request};

#[cfg(target_arch = "wasm32")]
mod imports {
    use super::*;
    use crate::bindings::service::omnifs::provider as wit;

    pub fn fetch(request: &Request) -> Result<Response> {
        wit::http::fetch(request)
    }

    pub fn fetch_all(requests: &[Request]) -> Vec<Result<Response>> {
        wit::http::fetch_all(requests)
    }

    pub fn begin(requests: &[Request]) {
        wit::http::begin(requests);
    }

    pub fn query(endpoint: &str, statement: &str, parameters: &[Value]) -> Result<Rows> {
        crate::bindings::database::omnifs::provider::sql::query(endpoint, statement, parameters)
    }

    pub fn offer(parent: &str, children: &[Node], coverage: Coverage) {
        wit::preload::offer(parent, children, coverage);
    }

    pub fn content(node: &str, bytes: &[u8]) {
        wit::preload::content(node, bytes);
    }

    pub fn ahead() -> Option<Walk> {
        wit::preload::ahead()
    }

    pub fn partial(directory: &str, shown: u32, note: &str) {
        wit::preload::partial(directory, shown, note);
    }

    pub fn config(key: &str) -> Option<String> {
        wit::config::get(key)
    }

    pub fn log(level: Level, message: &str) {
        wit::log::write(level, message);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imports {
    use super::*;
    use crate::testing::host;

    pub fn fetch(request: &Request) -> Result<Response> {
        host::fetch(request)
    }

    pub fn fetch_all(requests: &[Request]) -> Vec<Result<Response>> {
        requests.iter().map(host::fetch).collect()
    }

    /// Each is made when it is asked for.
    pub fn begin(_requests: &[Request]) {}

    pub fn query(endpoint: &str, statement: &str, parameters: &[Value]) -> Result<Rows> {
        host::query(endpoint, statement, parameters)
    }

    pub fn offer(parent: &str, children: &[Node], coverage: Coverage) {
        host::offer(parent, children, coverage);
    }

    pub fn content(node: &str, bytes: &[u8]) {
        host::content(node, bytes);
    }

    pub fn ahead() -> Option<Walk> {
        host::ahead()
    }

    pub fn partial(directory: &str, shown: u32, note: &str) {
        host::partial(directory, shown, note);
    }

    pub fn config(key: &str) -> Option<String> {
        host::config(key)
    }

    pub fn log(level: Level, message: &str) {
        host::log(level, message);
    }
}

pub(crate) use imports::{
    ahead, begin, config, content, fetch, fetch_all, log, offer, partial, query,
};

/// Lets a panic say what happened before it becomes a trap.
#[cfg(target_arch = "wasm32")]
pub(crate) fn report_panics() {
    use std::sync::Once;
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
    });
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn report_panics() {}
