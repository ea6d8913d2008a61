//! What a guest can reach: the functions of `wit/`, and as much of WASI as a standard library needs
//! to start.
//!
//! Invariant: the WASI context is empty. No preopened directory, environment variable or argument;
//! standard input is at its end, output goes nowhere; creating a socket and looking up a name are
//! refused. Clocks and random numbers work.

use super::begun::Begun;
use super::bindings::omnifs::provider::{config, http, log, preload, sql, types};
use super::convert::{self, Fault};
use super::limits::{self, Limits};
use super::meter::Meter;
use super::text::one_line;
use crate::provider::{Along, Cause, Failure, Offer, Partial, Response, Rows, Upstream, Walk};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, SinkOutputStream};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView,
    WasiView,
};

/// What a call can tell of the time and of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    Real,
    /// It is always the same moment, and nothing is random: what is answered is answered again.
    Still,
}

/// 2000-01-01T00:00:00Z.
const STILL: Duration = Duration::from_secs(946_684_800);

impl HostWallClock for World {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        STILL
    }
}

impl HostMonotonicClock for World {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What one mounted provider may use, shared by its calls.
#[derive(Debug)]
pub(super) struct Grants {
    pub(super) provider: Arc<str>,
    /// Declared keys with a value.
    pub(super) config: BTreeMap<String, String>,
    pub(super) upstream: Option<Arc<dyn Upstream>>,
    pub(super) limits: Limits,
    pub(super) world: World,
    /// Bytes of linear memory and of offers in all running calls.
    pub(super) memory: AtomicUsize,
}

/// The host's side of one call.
pub(super) struct State {
    pub(super) grants: Arc<Grants>,
    pub(super) meter: Arc<Meter>,
    pub(super) memory: Memory,
    pub(super) offers: Vec<Offer>,
    pub(super) along: Vec<Along>,
    pub(super) partials: Vec<Partial>,
    /// What is wanted beside the file that the call reads.
    pub(super) walk: Option<Walk>,
    begun: Begun,
    /// Why a host function ended the call.
    pub(super) fault: Option<Fault>,
    /// What requests failed with, as the guest saw it and as it was.
    pub(super) failed: Vec<(types::Error, Failure)>,
    /// The last line that was logged as an error: a panic's message.
    pub(super) last_words: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
    fetches: u32,
    lines: u32,
    offered_nodes: usize,
    offered_bytes: usize,
    offers_dropped: bool,
}

impl State {
    pub(super) fn new(grants: Arc<Grants>, meter: Arc<Meter>) -> State {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdin(ClosedInputStream)
            .stdout(SinkOutputStream)
            .stderr(SinkOutputStream)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .allow_blocking_current_thread(false)
            .max_random_size(limits::RANDOM_MAX);
        if grants.world == World::Still {
            let chance = || Deterministic::new(vec![0x5a]);
            wasi.wall_clock(World::Still)
                .monotonic_clock(World::Still)
                .secure_random(chance())
                .insecure_random(chance())
                .insecure_random_seed(0);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES_MAX);
        State {
            memory: Memory { grants: grants.clone(), held: 0, offered: 0, refused: None },
            grants,
            meter,
            offers: Vec::new(),
            along: Vec::new(),
            partials: Vec::new(),
            walk: None,
            begun: Begun::default(),
            fault: None,
            failed: Vec::new(),
            last_words: None,
            wasi: wasi.build(),
            table,
            fetches: 0,
            lines: 0,
            offered_nodes: 0,
            offered_bytes: 0,
            offers_dropped: false,
        }
    }

    /// Ends the call with this fault: the guest cannot catch it.
    fn end(&mut self, fault: Fault) -> wasmtime::Error {
        let error = wasmtime::Error::msg(fault.detail.clone());
        self.fault = Some(fault);
        error
    }

    /// Whether this much more may be offered; counts it. What is offered is in the host's memory until
    /// the call ends, so it takes from what the provider's calls may have together.
    fn takes(&mut self, nodes: usize, bytes: usize) -> bool {
        let fits = self.offered_nodes + nodes <= limits::OFFERED_NODES_MAX
            && self.offered_bytes + bytes <= limits::OFFERED_BYTES_MAX
            && self.memory.take_offered(bytes);
        if fits {
            self.offered_nodes += nodes;
            self.offered_bytes += bytes;
        } else if !std::mem::replace(&mut self.offers_dropped, true) {
            tracing::warn!(
                target: "omnifs::provider",
                provider = &*self.grants.provider,
                "offers beyond {} nodes or {} MiB in one call, or beyond {} MiB with the memory of the \
                 calls in progress, are dropped",
                limits::OFFERED_NODES_MAX,
                limits::OFFERED_BYTES_MAX >> 20,
                self.grants.limits.memory_together >> 20,
            );
        }
        fits
    }

    /// After the call: what was logged beyond the limit.
    pub(super) fn finish(&mut self) {
        if self.lines > limits::LOG_LINES_MAX {
            let dropped = self.lines - limits::LOG_LINES_MAX;
            tracing::warn!(
                target: "omnifs::provider",
                provider = &*self.grants.provider,
                "{dropped} more lines in this call were dropped"
            );
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// By which interface a component reaches its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Nothing,
    Http,
    Sql,
}

/// Links everything that such a component may import.
pub(super) fn linker(engine: &wasmtime::Engine, reach: Reach) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    config::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    preload::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    match reach {
        Reach::Nothing => {}
        Reach::Http => http::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?,
        Reach::Sql => sql::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?,
    }
    Ok(linker)
}

impl config::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.grants.config.get(&key).cloned())
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.lines = self.lines.saturating_add(1);
        if self.lines > limits::LOG_LINES_MAX && level != log::Level::Error {
            return Ok(());
        }
        let line = one_line(&message, limits::LOG_LINE_MAX);
        if self.lines <= limits::LOG_LINES_MAX {
            let provider = &*self.grants.provider;
            match level {
                log::Level::Error => {
                    tracing::error!(target: "omnifs::provider", provider, "{line}")
                }
                log::Level::Warn => tracing::warn!(target: "omnifs::provider", provider, "{line}"),
                log::Level::Info => tracing::info!(target: "omnifs::provider", provider, "{line}"),
                log::Level::Debug => {
                    tracing::debug!(target: "omnifs::provider", provider, "{line}")
                }
            }
        }
        if level == log::Level::Error {
            self.last_words = Some(line);
        }
        Ok(())
    }
}

impl preload::Host for State {
    fn offer(
        &mut self,
        parent: String,
        children: Vec<types::Node>,
        coverage: preload::Coverage,
    ) -> wasmtime::Result<()> {
        let bytes =
            size_of::<Offer>() + parent.len() + children.iter().map(convert::weight).sum::<usize>();
        // An empty offer counts, so that their number is bounded too.
        if !self.takes(children.len().max(1), bytes) {
            return Ok(());
        }
        let whole = coverage == preload::Coverage::Whole;
        let most = self.grants.limits.content;
        let offered = convert::offer(parent, children, whole)
            .and_then(|offer| convert::fit(&offer.children, most).map(|()| offer));
        match offered {
            Ok(offer) => self.offers.push(offer),
            Err(fault) => return Err(self.end(fault)),
        }
        Ok(())
    }

    fn content(&mut self, node: String, bytes: Vec<u8>) -> wasmtime::Result<()> {
        if !self.takes(1, size_of::<Along>() + node.len() + bytes.len()) {
            return Ok(());
        }
        match convert::along(node, bytes, self.grants.limits.content) {
            Ok(along) => self.along.push(along),
            Err(fault) => return Err(self.end(fault)),
        }
        Ok(())
    }

    fn ahead(&mut self) -> wasmtime::Result<Option<preload::Walk>> {
        let texts = |ids: Vec<Arc<str>>| ids.iter().map(|id| id.to_string()).collect();
        Ok(self.walk.take().map(|walk| preload::Walk {
            directories: texts(walk.directories),
            size: walk.size,
            files: texts(walk.files),
        }))
    }

    fn partial(&mut self, directory: String, shown: u32, note: String) -> wasmtime::Result<()> {
        if self.partials.len() >= limits::PARTIALS_MAX
            || !self
                .takes(1, size_of::<Partial>() + directory.len() + note.len().min(limits::TEXT_MAX))
        {
            return Ok(());
        }
        match convert::partial(directory, shown, &note) {
            Ok(partial) => self.partials.push(partial),
            Err(fault) => return Err(self.end(fault)),
        }
        Ok(())
    }
}

impl types::Host for State {}

/// Failed requests of a call that are remembered. A provider passes the last one on, or the first.
const FAILED_KEPT: usize = 16;

impl State {
    /// Counts requests before they are made.
    fn count(&mut self, requests: usize) -> wasmtime::Result<()> {
        self.fetches = self.fetches.saturating_add(u32::try_from(requests).unwrap_or(u32::MAX));
        if self.fetches > limits::FETCHES_MAX {
            let detail = format!("made more than {} requests in one call", limits::FETCHES_MAX);
            return Err(self.end(Fault { cause: Cause::Limit, detail }));
        }
        Ok(())
    }

    fn answered(&mut self, result: Result<Response, Failure>) -> Answered {
        result.map(convert::response).map_err(|failure| self.failed(failure))
    }

    /// What the guest sees of a failed request, which is remembered.
    fn failed(&mut self, failure: Failure) -> types::Error {
        let error = convert::error(&failure);
        if self.failed.len() == FAILED_KEPT {
            self.failed.remove(1);
        }
        self.failed.push((error.clone(), failure));
        error
    }
}

type Answered = Result<http::Response, types::Error>;

fn not_granted() -> types::Error {
    types::Error::Denied("no endpoint has been granted to this provider".to_owned())
}

impl http::Host for State {
    async fn fetch(&mut self, request: types::Request) -> wasmtime::Result<Answered> {
        let Some(upstream) = self.grants.upstream.clone() else { return Ok(Err(not_granted())) };
        let request = convert::request(request);
        let meter = self.meter.clone();
        let begun = match self.begun.take(&request) {
            Some(begun) => meter.request(begun.answer()).await,
            None => {
                self.count(1)?;
                None
            }
        };
        let result = match begun {
            Some(result) => result,
            None => meter.request(upstream.fetch(request)).await,
        };
        let answered = self.answered(result);
        self.meter.received(answered.as_ref().map_or(0, |response| response.body.len()));
        Ok(answered)
    }

    async fn fetch_all(
        &mut self,
        requests: Vec<types::Request>,
    ) -> wasmtime::Result<Vec<Answered>> {
        let Some(upstream) = self.grants.upstream.clone() else {
            return Ok(requests.into_iter().map(|_| Err(not_granted())).collect());
        };
        self.count(requests.len())?;
        let meter = self.meter.clone();
        let fetches = requests.into_iter().map(|raw| upstream.fetch(convert::request(raw)));
        // How many are under way is the upstream's to bound; here it is memory.
        let all = stream::iter(fetches).buffered(limits::PARALLEL_MAX).collect::<Vec<_>>();
        let results = meter.request(all).await;
        let answered: Vec<_> = results.into_iter().map(|result| self.answered(result)).collect();
        let bytes: usize = answered.iter().flatten().map(|response| response.body.len()).sum();
        self.meter.received(bytes);
        let most = self.grants.limits.content;
        if bytes > most {
            let detail = format!("asked for more than {} MiB at once", most >> 20);
            return Err(self.end(Fault { cause: Cause::Limit, detail }));
        }
        Ok(answered)
    }

    fn begin(&mut self, requests: Vec<types::Request>) -> wasmtime::Result<()> {
        let Some(upstream) = self.grants.upstream.clone() else { return Ok(()) };
        self.count(requests.len())?;
        let requests = requests.into_iter().map(convert::request);
        self.begun.start(requests, &upstream, self.grants.limits.content);
        Ok(())
    }
}

impl sql::Host for State {
    async fn query(
        &mut self,
        endpoint: String,
        statement: String,
        parameters: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<sql::Rows, types::Error>> {
        let Some(upstream) = self.grants.upstream.clone() else { return Ok(Err(not_granted())) };
        self.count(1)?;
        let query = convert::query(endpoint, statement, parameters);
        let result = self.meter.clone().request(upstream.query(query)).await;
        let rows = result.map_err(|failure| self.failed(failure));
        self.meter.received(rows.as_ref().map_or(0, Rows::weight));
        Ok(rows.map(convert::rows))
    }
}

/// Bounds the linear memory of one call, and with what it has offered and the others of its provider.
pub(super) struct Memory {
    grants: Arc<Grants>,
    held: usize,
    /// Bytes of offers.
    offered: usize,
    /// Set when a growth was refused: a guest usually aborts then.
    pub(super) refused: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Alone,
    Together,
    /// By the system.
    System,
    Table,
}

impl Memory {
    /// Takes so much from what all calls of the provider may have together, if it is there.
    fn take_together(&self, bytes: usize) -> bool {
        let fits = self.grants.memory.fetch_add(bytes, Relaxed) + bytes
            <= self.grants.limits.memory_together;
        if !fits {
            self.grants.memory.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    fn take_offered(&mut self, bytes: usize) -> bool {
        let fits = self.take_together(bytes);
        if fits {
            self.offered += bytes;
        }
        fits
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limits = &self.grants.limits;
        let more = desired.saturating_sub(current);
        if self.held + more > limits.memory {
            self.refused = Some(Refusal::Alone);
            return Ok(false);
        }
        if !self.take_together(more) {
            self.refused = Some(Refusal::Together);
            return Ok(false);
        }
        self.held += more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // `memory_growing` has set it where it was this limiter's doing.
        self.refused.get_or_insert(Refusal::System);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= limits::TABLE_MAX;
        if !fits {
            self.refused = Some(Refusal::Table);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        2
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.grants.memory.fetch_sub(self.held + self.offered, Relaxed);
    }
}
