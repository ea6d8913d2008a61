//! Keeps secrets out of core dumps and of other processes' sight.

/// Makes this process leave no core dump and be no other process's to trace (`PR_SET_DUMPABLE`,
/// prctl(2)). Elsewhere than on Linux it does nothing.
///
/// # Errors
/// As prctl(2).
#[cfg(target_os = "linux")]
pub fn set_not_dumpable() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(target_os = "linux"))]
pub fn set_not_dumpable() -> std::io::Result<()> {
    Ok(())
}
