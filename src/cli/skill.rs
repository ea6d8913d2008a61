use super::failure::Failure;
use super::{Context, shown, terminal};
use clap::{Args, Subcommand, ValueEnum};
use omnifs::paths;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// What a program is told that works in mounts.
const TEXT: &str = include_str!("skill.md");

/// Tell programs that write and read for people how to work in a mount
#[derive(Debug, Subcommand)]
pub enum Skill {
    Install(Install),
}

/// Write a skill where such a program looks for it
///
/// That is DIR/.claude/skills, DIR/.codex/skills or DIR/.agents/skills, where DIR is the current directory or, with
/// --home, the home directory. A file that is there and differs is replaced after a question.
#[derive(Debug, Args)]
pub struct Install {
    /// For which of them
    #[arg(value_enum, default_value = "agents")]
    agent: Agent,
    /// In the home directory, for all projects
    #[arg(long)]
    home: bool,
    /// Print where and what, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace a file that differs without a question
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Agent {
    Claude,
    Codex,
    /// The place that several of them share
    Agents,
}

impl Agent {
    fn directory(self) -> &'static str {
        match self {
            Agent::Claude => ".claude",
            Agent::Codex => ".codex",
            Agent::Agents => ".agents",
        }
    }
}

pub fn run(_: &Context, command: &Skill) -> Result<ExitCode, Failure> {
    let Skill::Install(args) = command;
    let base = match args.home {
        true => std::env::home_dir().ok_or_else(|| Failure::new("there is no home directory"))?,
        false => std::env::current_dir()
            .map_err(|e| Failure::new(format!("the current directory cannot be found: {e}")))?,
    };
    let file = base.join(args.agent.directory()).join("skills/omnifs/SKILL.md");
    let place = shown(&file);
    let result = |written: bool| json!({ "file": file, "written": written });
    if args.dry_run {
        terminal::show(&format!("{place}\n\n{TEXT}"), result(false))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(there) = present(&file)? {
        if there == TEXT.as_bytes() {
            terminal::done(&format!("{place} is as it should be\n"), result(false))?;
            return Ok(ExitCode::SUCCESS);
        }
        let question = format!("{place} is there and differs. Replace it?");
        if !args.yes && !terminal::confirm(&question, "--yes replaces it")? {
            return Err(Failure::new("nothing was written"));
        }
    }
    let write = || {
        std::fs::create_dir_all(file.parent().unwrap_or(&base))?;
        paths::replace(&file, TEXT.as_bytes())
    };
    write().map_err(|e| Failure::unwritten(format_args!("cannot write {place}"), &file, &e))?;
    terminal::done(&format!("wrote {place}\n"), result(true))?;
    Ok(ExitCode::SUCCESS)
}

/// What the file holds, where there is one.
fn present(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot read {}: {error}", shown(file)))),
    }
}
