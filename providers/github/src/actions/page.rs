//! `run.md`: what failed in a run, and why.

use super::{Job, JobObject, api};
use omnifs_sdk::{Content, Items, content, document};
use std::fmt::Write as _;

/// Lines of a failed job's log that are shown, up to the last error in it.
const LAST: usize = 30;

/// How a runner begins the text of an error (docs.github.com, "Workflow commands").
const ERROR: &str = "##[error]";

/// The page as far as it is written: the failed jobs come first.
#[derive(Default)]
pub struct Page {
    failed: String,
    others: String,
}

impl Page {
    /// Adds a job; `log` only matters where it failed.
    pub fn job(&mut self, job: &Job, log: &[u8]) {
        let name = content::one_line(&job.name);
        if !job.failed() {
            let state = job.conclusion.as_ref().unwrap_or(&job.status);
            self.line(false, &format!("- {state}: {name}"));
            return;
        }
        let ended = job.conclusion.as_deref().unwrap_or_default();
        self.line(true, &format!("## {ended}: {name}\n"));
        for step in job.steps.iter() {
            let state = step.conclusion.as_ref().unwrap_or(&step.status);
            let mark = if api::is_failure(state) { "**" } else { "" };
            let step = content::one_line(&step.name);
            self.line(true, &format!("- {mark}{state}: {step}{mark}"));
        }
        self.line(true, "\nThe end of its log:\n");
        let log = String::from_utf8_lossy(log);
        // As code, whatever a line holds.
        last(&log).into_iter().for_each(|line| self.line(true, &format!("    {line}")));
        self.line(true, "");
    }

    /// Says which jobs could not be read.
    pub fn noting(&mut self, jobs: &Items<JobObject>) {
        for odd in jobs.odd().iter().filter(|odd| !odd.shown) {
            self.line(false, &format!("- ? {odd}"));
        }
    }

    fn line(&mut self, failed: bool, text: &str) {
        // Writing to memory does not fail.
        let _ = writeln!(if failed { &mut self.failed } else { &mut self.others }, "{text}");
    }

    pub fn content(self) -> Content {
        match (self.failed.is_empty(), self.others.is_empty()) {
            (true, _) => document(self.others),
            (false, true) => document(self.failed),
            (false, false) => document(format!("{}## Other jobs\n\n{}", self.failed, self.others)),
        }
    }
}

/// The lines up to the last error, else up to the end.
fn last(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let end = lines.iter().rposition(|line| line.contains(ERROR)).map_or(lines.len(), |at| at + 1);
    lines[end.saturating_sub(LAST)..end].to_vec()
}
