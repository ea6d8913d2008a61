//! One call: a slot, a fresh instance, the guest's code on a fiber, and what came of it.

use super::bindings::omnifs::provider::types;
use super::component::Component;
use super::convert::{self, Fault};
use super::host::{Grants, Refusal, State};
use super::limits::{self, Limits};
use super::meter::{Meter, Stop};
use super::text::one_line;
use crate::provider::{Along, Cause, Failure, Offer, Partial};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Instance;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

/// What a guest answered, with the hints it gave on the way. Not checked yet.
pub(super) struct Answered<T> {
    pub(super) value: T,
    pub(super) offers: Vec<Offer>,
    pub(super) along: Vec<Along>,
    pub(super) partials: Vec<Partial>,
}

/// Calls a function of a fresh instance. `turns` bounds the provider's running calls.
pub(super) async fn call<T, F>(
    component: &Component,
    grants: &Arc<Grants>,
    turns: &Semaphore,
    function: F,
) -> Result<Answered<T>, Failure>
where
    F: for<'a> FnOnce(&'a mut Store<State>, &'a Instance) -> Guest<'a, T> + Send,
{
    let fail = |fault: Fault| Failure {
        provider: grants.provider.clone(),
        cause: fault.cause,
        detail: fault.detail,
        retry_after: None,
    };
    let limits = &grants.limits;
    let started = Instant::now();
    let engine = &component.0.engine;
    let waiting = async { (turns.acquire().await, engine.shared().slots.acquire().await) };
    let _permits = match timeout_at(started + limits.wait, waiting).await {
        Ok((Ok(turn), Ok(slot))) => (turn, slot),
        // Neither semaphore is ever closed.
        Ok(_) => unreachable!("a closed semaphore"),
        Err(_) => return Err(fail(queued(limits))),
    };
    let _running = engine.running();

    let meter = Arc::new(Meter::default());
    let mut store = Store::new(&engine.shared().wasm, State::new(grants.clone(), meter.clone()));
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.transfer());
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);

    let guest = async {
        let instance = component.0.instance.instantiate_async(&mut store).await?;
        function(&mut store, &instance).await
    };
    let outcome = meter.watch(limits, started, guest).await;
    let state = store.data_mut();
    state.finish();
    match outcome {
        Ok(Ok(Ok(value))) => Ok(Answered {
            value,
            offers: std::mem::take(&mut state.offers),
            along: std::mem::take(&mut state.along),
            partials: std::mem::take(&mut state.partials),
        }),
        Ok(Ok(Err(error))) => {
            Err(convert::failure(&grants.provider, error, &state.failed, limits.content))
        }
        Ok(Err(trap)) => Err(fail(explain(state, &trap))),
        Err(stop) => Err(fail(stopped(stop, limits))),
    }
}

/// What a guest's function returns: a trap, the guest's own error, or a value.
pub(super) type Guest<'a, T> = BoxFuture<'a, wasmtime::Result<Result<T, types::Error>>>;

fn queued(limits: &Limits) -> Fault {
    let detail = format!(
        "waited {:?} for its turn behind the calls in progress (at most {})",
        limits.wait, limits.in_flight
    );
    Fault { cause: Cause::TimedOut, detail }
}

fn stopped(stop: Stop, limits: &Limits) -> Fault {
    match stop {
        Stop::Cpu => Fault {
            cause: Cause::Limit,
            detail: format!("used more than {:?} of CPU time in one call", limits.cpu),
        },
        Stop::Wait => Fault {
            cause: Cause::TimedOut,
            detail: format!("did not answer within {:?}, requests not counted", limits.wait),
        },
        Stop::Total => Fault {
            cause: Cause::TimedOut,
            detail: format!("did not answer within {:?}", limits.total),
        },
    }
}

/// What stands between why a call trapped and what the guest logged as an error before that.
pub const SAID: &str = "; it said: ";

/// Why a call trapped.
fn explain(state: &mut State, trap: &wasmtime::Error) -> Fault {
    if let Some(fault) = state.fault.take() {
        return fault;
    }
    let limits = &state.grants.limits;
    let (cause, mut detail) = if let Some(refusal) = state.memory.refused {
        let detail = match refusal {
            Refusal::Alone => format!("needs more than {} MiB of memory", limits.memory >> 20),
            Refusal::Together => format!(
                "needs more than {} MiB of memory for its calls in progress",
                limits.memory_together >> 20
            ),
            Refusal::System => "needs more memory than the system has".to_string(),
            Refusal::Table => format!("needs a table of more than {} elements", limits::TABLE_MAX),
        };
        (Cause::Limit, detail)
    } else if let Some(exit) = trap.downcast_ref::<I32Exit>() {
        (Cause::Trap, format!("ended itself with exit code {}", exit.0))
    } else if let Some(trap) = trap.downcast_ref::<Trap>() {
        match trap {
            Trap::StackOverflow => (Cause::Trap, "trapped: its call stack is exhausted".into()),
            trap => (Cause::Trap, format!("trapped: {}", plain(trap))),
        }
    } else {
        let text = one_line(&format!("{trap:#}"), limits::TEXT_MAX);
        // wasmtime has no type for this one.
        if text.contains("fuel allocated for hostcalls has been exhausted") {
            let max = limits.transfer() >> 20;
            (Cause::Limit, format!("handed over more than {max} MiB at once"))
        } else {
            (Cause::Trap, format!("failed: {text}"))
        }
    };
    if let Some(words) = state.last_words.take() {
        detail.push_str(SAID);
        detail.push_str(&words);
    }
    Fault { cause, detail: one_line(&detail, limits::TEXT_MAX) }
}

fn plain(trap: &Trap) -> String {
    let text = trap.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_string()
}
