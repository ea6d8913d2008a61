//! What is so at the moment.

use std::fmt;
use std::sync::OnceLock;

/// A file in `.omnifs` that is asked for at each open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Status,
    Errors,
}

impl Report {
    pub const ALL: [Report; 2] = [Report::Status, Report::Errors];

    /// Below the instance's directory.
    pub(super) fn path(self) -> &'static str {
        match self {
            Report::Status => ".omnifs/status",
            Report::Errors => ".omnifs/errors",
        }
    }
}

type Write = Box<dyn Fn(Report) -> String + Send + Sync>;

/// Who writes the reports of an instance. Files are shown before anybody can.
#[derive(Default)]
pub struct Reports(OnceLock<Write>);

impl Reports {
    /// Called once: later calls change nothing.
    pub fn by(&self, write: impl Fn(Report) -> String + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(write));
    }

    pub(super) fn text(&self, report: Report) -> String {
        match (self.0.get(), report) {
            (Some(write), _) => write(report),
            (None, Report::Status) => "The mount is about to begin.\n".to_owned(),
            (None, Report::Errors) => String::new(),
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports")
    }
}
