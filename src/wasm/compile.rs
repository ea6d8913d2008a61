//! Compiles a component, for a bounded time.

use super::component::{Reason, cause};
use super::{bounds, component};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::HashSet;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Runs `work` on a thread of its own and waits so long for it. Nothing can stop a compiler: it goes
/// on, so that what it has made is in the cache the next time.
pub(super) fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("omnifs-compile".into());
    let compile = move || {
        // Who has given up does not listen.
        let _ = sender.send(work());
    };
    thread.spawn(compile).map_err(|error| Reason::NotCompiled(error.to_string()))?;
    receiver.recv_timeout(time).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(Reason::Slow(time)),
        RecvTimeoutError::Disconnected => Err(Reason::NotCompiled("the compiler failed".into())),
    })
}

/// Compiles what is within the bounds. Its threads are its own: a shared pool would work off all
/// functions of a large component before it looked at those of a small one.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Reason> {
    component::check_surface(&bounds::check(bytes)?)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|_| "omnifs-compile".into())
        .build()
        .map_err(|error| Reason::NotCompiled(error.to_string()))?;
    let compiled = pool.install(|| Component::from_binary(engine, bytes));
    compiled.map_err(|error| Reason::Unusable(cause(&error)))
}

/// The components that are being compiled, by their SHA-256.
static COMPILING: (Mutex<Option<HashSet<[u8; 32]>>>, Condvar) = (Mutex::new(None), Condvar::new());

/// Held by the one thread that compiles a component. Another one, for a second instance of it, waits
/// and takes what was made from the cache.
pub(super) struct Turn([u8; 32]);

impl Turn {
    pub(super) fn take(digest: &[u8; 32]) -> Turn {
        let mut compiling = compiling();
        while !compiling.get_or_insert_default().insert(*digest) {
            COMPILING.1.wait(&mut compiling);
        }
        Turn(*digest)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        compiling().get_or_insert_default().remove(&self.0);
        COMPILING.1.notify_all();
    }
}

fn compiling() -> MutexGuard<'static, Option<HashSet<[u8; 32]>>> {
    COMPILING.0.lock()
}

#[cfg(test)]
mod tests {
    use super::super::limits;
    use super::*;

    #[test]
    fn a_compiler_that_does_not_end_is_not_waited_for() {
        let (end, ended) = channel::<()>();
        let endless = move || {
            let _ = ended.recv();
            Ok(())
        };
        let error = within(Duration::from_millis(50), endless).unwrap_err();
        assert!(error.to_string().contains("has not been compiled within 50ms"), "{error}");
        drop(end);
        assert!(within(limits::COMPILE_MAX, || Ok(())).is_ok());
        let panics = || -> Result<(), Reason> { panic!("a bug of the compiler") };
        assert!(matches!(within(limits::COMPILE_MAX, panics), Err(Reason::NotCompiled(_))));
    }

    #[test]
    fn a_component_is_compiled_by_one_thread_at_a_time() {
        let turn = Turn::take(&[1; 32]);
        drop(Turn::take(&[2; 32]));
        let (sender, receiver) = channel();
        let waiting = std::thread::spawn(move || {
            sender.send("waits").unwrap();
            let _turn = Turn::take(&[1; 32]);
            sender.send("has it").unwrap();
        });
        assert_eq!(receiver.recv(), Ok("waits"));
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        drop(turn);
        assert_eq!(receiver.recv(), Ok("has it"));
        waiting.join().unwrap();
    }
}
