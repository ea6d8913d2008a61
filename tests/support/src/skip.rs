//! Saying that a test did not run.

use std::io::Write;

/// Says loudly that `test` did not run, and why: past libtest's capture, on the real standard error,
/// and in the file that `OMNIFS_SKIPPED` names, from which `cargo xtask test` prints its summary.
pub fn skip(test: &str, reason: &str) {
    let line = format!("DID NOT RUN: {test}: {reason}\n");
    // A closed stderr must not fail the test; the summary file still has the line.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("OMNIFS_SKIPPED") {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
        // One write call, so that lines of parallel tests do not mix.
        let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    #[cfg(target_os = "linux")]
    crate::user::end_if_ordinary();
}
