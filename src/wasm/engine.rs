//! The process's one wasmtime engine: its configuration, and the thread that moves its epoch.

use super::host::{self, Reach, State};
use super::limits;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

/// The engine could not be made: its message says what the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the WebAssembly engine: {0}")]
pub struct EngineError(String);

/// The WebAssembly engine. One per process; clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

pub(super) struct Shared {
    pub(super) wasm: wasmtime::Engine,
    ticker: Ticker,
    offline: Linker<State>,
    service: Linker<State>,
    database: Linker<State>,
    /// One permit for each slot of the pool, so that a call waits for a slot instead of failing.
    pub(super) slots: Arc<Semaphore>,
}

impl Shared {
    /// What a component that reaches its service so may import.
    pub(super) fn linker(&self, reach: Reach) -> &Linker<State> {
        match reach {
            Reach::Nothing => &self.offline,
            Reach::Http => &self.service,
            Reach::Sql => &self.database,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("free", &self.0.slots.available_permits()).finish()
    }
}

impl Engine {
    /// Starts the engine and its ticker thread. Where the address space for the pool cannot be had
    /// (`ulimit -v`), instances are allocated one by one, more slowly.
    pub fn new() -> Result<Engine, EngineError> {
        let wasm = match wasmtime::Engine::new(&configuration(true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!("no address space for a pool of instances: {error:#}");
                wasmtime::Engine::new(&configuration(false)).map_err(EngineError::of)?
            }
        };
        let linker = |reach| host::linker(&wasm, reach).map_err(EngineError::of);
        let offline = linker(Reach::Nothing)?;
        let service = linker(Reach::Http)?;
        let database = linker(Reach::Sql)?;
        let ticker = Ticker::start(wasm.weak()).map_err(|e| EngineError(e.to_string()))?;
        let slots = Arc::new(Semaphore::new(limits::INSTANCES_MAX as usize));
        Ok(Engine(Arc::new(Shared { wasm, ticker, offline, service, database, slots })))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Keeps the epoch moving while the result lives.
    pub(super) fn running(&self) -> Running<'_> {
        self.0.ticker.enter()
    }
}

impl EngineError {
    fn of(error: wasmtime::Error) -> Self {
        EngineError(super::text::one_line(&format!("{error:#}"), limits::TEXT_MAX))
    }
}

fn configuration(pooled: bool) -> Config {
    let mut config = Config::new();
    // WebAssembly 2.0 in components. Each later proposal is code that a hostile file could reach
    // and no provider needs, but for constant expressions that add: a Python interpreter's modules
    // are linked when they are instantiated, each at its own address.
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_extended_const(true)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false);
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_MAX)
        .memory_init_cow(true)
        // A trap is reported by its kind and the guest's own last words: no addresses, no names.
        .generate_address_map(false)
        .native_unwind_info(cfg!(windows))
        .wasm_backtrace_max_frames(None);
    if pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    } else {
        // Address space is what is short: no 4 GiB for each memory, and checks in the code instead.
        config.memory_reservation(0).memory_reservation_for_growth(1 << 20);
        config.memory_guard_size(64 << 10).guard_before_linear_memory(false);
    }
    config
}

/// The pool reserves address space; memory is only what running instances touch. What a slot keeps
/// between calls is 16 x 256 KiB, which a laptop does not notice.
fn pool() -> PoolingAllocationConfig {
    let slots = limits::INSTANCES_MAX;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * limits::CORE_INSTANCES_MAX)
        .total_memories(slots)
        .total_tables(slots * 2)
        .total_stacks(slots)
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(2)
        .max_memory_size(limits::MEMORY_MAX)
        .table_elements(limits::TABLE_MAX)
        .max_unused_warm_slots(16)
        // With PAGEMAP_SCAN (Linux 6.7) only the pages that a call touched are reset, in place.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Moves the epoch every [`limits::TICK`] while a call runs, on a thread of its own, because a guest in
/// a loop may hold every worker of the runtime. It sleeps while nothing runs, so that an idle mount
/// wakes no CPU.
struct Ticker {
    state: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct TickerState {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Ticks without a call before the thread parks: waking it costs more than a few idle ticks.
const IDLE_TICKS: u32 = 50;

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Ticker> {
        let state = Arc::new(TickerState::default());
        let thread = thread::Builder::new().name("omnifs-epoch".into()).spawn({
            let state = state.clone();
            move || state.tick(engine)
        })?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    fn enter(&self) -> Running<'_> {
        self.state.running.fetch_add(1, SeqCst);
        // Sequentially consistent on both sides: either this load sees `parked`, or the ticker's
        // load after setting it sees this call.
        if self.state.parked.load(SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.state)
    }
}

impl TickerState {
    fn tick(&self, engine: EngineWeak) {
        let mut idle = 0;
        while !self.stop.load(SeqCst) {
            if self.running.load(SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.parked.store(true, SeqCst);
                while self.running.load(SeqCst) == 0 && !self.stop.load(SeqCst) {
                    thread::park();
                }
                self.parked.store(false, SeqCst);
                continue;
            }
            // Not `sleep`: an unpark ends it early at the engine's end.
            thread::park_timeout(limits::TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It holds no lock and ends at its next look. A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// A call in progress.
pub(super) struct Running<'a>(&'a TickerState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_ticker_parks_when_idle_wakes_for_a_call_and_ends_with_the_engine() {
        let engine = Engine::new().unwrap();
        let state = engine.0.ticker.state.clone();
        wait_until("parked", || state.parked.load(SeqCst));
        let running = engine.running();
        wait_until("awake", || !state.parked.load(SeqCst));
        drop(running);
        wait_until("parked again", || state.parked.load(SeqCst));
        drop(engine);
        assert_eq!(Arc::strong_count(&state), 1, "the thread still holds its state");
    }

    #[test]
    fn without_a_pool_the_engine_still_starts() {
        let wasm = wasmtime::Engine::new(&configuration(false)).unwrap();
        host::linker(&wasm, Reach::Http).unwrap();
    }
}
