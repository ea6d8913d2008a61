//! What tests and benchmarks put into a runtime.

use crate::mutants::Mutant;
use std::fmt;
use std::time::Duration;

/// What the model check puts into a runtime to see it under every interleaving and with a known
/// bug in it, and a benchmark to measure it. `Default` is what everybody else uses.
#[doc(hidden)]
#[derive(Default)]
pub struct Seams {
    pub mutant: Option<Mutant>,
    /// Called before each time the state is locked, with no lock held: where another thread might
    /// come in.
    pub between: Option<Box<dyn Fn() + Send + Sync>>,
    pub meter: Option<Meter>,
}

/// How a benchmark sees for how long the state is locked.
#[doc(hidden)]
pub struct Meter {
    /// The time of a thread.
    pub now: fn() -> Duration,
    /// Told after each time.
    pub tell: Box<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}

pub(super) struct Between(pub Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}
