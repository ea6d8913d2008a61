mod checks;
mod directories;
mod fix;

use super::failure::Failure;
use super::{Context, output, terminal};
use clap::Args;
use fix::Fix;
use omnifs::logs::printable;
use std::fmt::Write;
use std::process::ExitCode;

/// Check what mounting needs, and say how to mend what is wrong
///
/// Asks no service. The exit code is 1 if something keeps a mount from working. Records of mounts that have ended
/// are removed and directories of omnifs are made as they are looked at; --fix does the rest that is safe.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Ask about each thing that can be mended safely, and mend it: mounts whose process has ended, omnifs's own
    /// files and directories that others may write, and secrets that others may read
    #[arg(long)]
    fix: bool,
    /// Mend it without asking
    #[arg(long, short, requires = "fix")]
    yes: bool,
}

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
    /// What `--fix` does.
    #[serde(skip)]
    fix: Option<Fix>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Good, what: what.into(), mend: None, fix: None }
    }

    fn warning(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::good(what).mended(Verdict::Warning, mend)
    }

    fn bad(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::good(what).mended(Verdict::Bad, mend)
    }

    fn mended(self, verdict: Verdict, mend: impl Into<String>) -> Finding {
        Finding { verdict, mend: Some(mend.into()), ..self }
    }

    /// With what `--fix` does about it.
    fn fixed_by(self, fix: Option<Fix>) -> Finding {
        Finding { fix, ..self }
    }
}

pub fn run(context: Result<Context, Failure>, args: &Doctor) -> Result<ExitCode, Failure> {
    let findings = match context {
        Ok(context) => {
            let findings = checks::all(&context);
            match args.fix && fix::all(&findings, args.yes)? {
                true => checks::all(&context),
                false => findings,
            }
        }
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
