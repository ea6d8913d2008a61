mod checks;
mod directories;

use super::failure::Failure;
use super::{Context, output, terminal};
use clap::Args;
use omnifs::logs::printable;
use std::fmt::Write;
use std::process::ExitCode;

/// Check what mounting needs, and say how to mend what is wrong
///
/// Asks no service. The exit code is 1 if something keeps a mount from working.
#[derive(Debug, Args)]
pub struct Doctor {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Something does not work, but mounts do.
    Warning,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
struct Finding {
    verdict: Verdict,
    what: String,
    /// How to mend it.
    mend: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Good, what: what.into(), mend: None }
    }

    fn warning(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warning, what: what.into(), mend: Some(mend.into()) }
    }

    fn bad(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Bad, what: what.into(), mend: Some(mend.into()) }
    }
}

pub fn run(context: Result<Context, Failure>, _: &Doctor) -> Result<ExitCode, Failure> {
    let findings = match context {
        Ok(context) => checks::all(&context),
        Err(Failure { message, hints, .. }) => vec![Finding::bad(message, hints.join("; "))],
    };
    let text = if output::chosen().json {
        let json = serde_json::to_string_pretty(&findings);
        json.map_err(|e| Failure::new(format!("cannot write JSON: {e}")))? + "\n"
    } else {
        show(&findings)
    };
    terminal::print(&text)?;
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD",
        };
        let _ = writeln!(text, "{mark:7}  {}", printable(&finding.what));
        if let Some(mend) = &finding.mend {
            let _ = writeln!(text, "         to mend it: {}", printable(mend));
        }
    }
    text
}
