//! Running on Windows's interfaces without one: under Wine.
//!
//! Built with mingw-w64, so without the WinFsp back end, whose driver Wine cannot run anyway.
//! Wine 8 has no bcryptprimitives.dll, from which Rust's standard library takes random numbers: a
//! library with the one function stands in.

use crate::check::target_added;
use crate::step::{loud, minutes, say};
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

const TARGET: &str = "x86_64-pc-windows-gnu";
const WINE: &str = "/usr/lib/wine/wine64";

const SHIM: &str = "#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T size)
{
    return RtlGenRandom(to, (ULONG)size);
}
";

/// Builds omnifs for Windows with mingw-w64 and runs what of it Wine can run
#[derive(clap::Args)]
pub struct Windows;

impl Windows {
    pub fn run(self) -> Result<()> {
        if let Some(why) = missing()? {
            bail!("{why}");
        }
        let components = components::build_all(components::Which::Shipped)?;
        let mut build = cargo::cargo();
        build.args(["build", "--package", "omnifs", "--bin", "omnifs", "--target", TARGET]);
        build.env("OMNIFS_EMBED", &components);
        step::run(&mut build, "building omnifs for Windows", minutes(60))?;
        let mut twins = cargo::cargo();
        twins.args([
            "build",
            "--package",
            "omnifs-twins",
            "--example",
            "serve",
            "--target",
            TARGET,
        ]);
        step::run(&mut twins, "building the twins for Windows", minutes(20))?;
        let built = cargo::target()?.join(TARGET).join("debug");
        let program = built.join("omnifs.exe");
        let home = cargo::target()?.join("windows").join("home");
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        build_stand_in()?;
        for (line, code, says) in COMMANDS {
            run(&program, &home, line, *code, says)?;
        }
        serve(&program, &built.join("examples").join("serve.exe"), &home)?;
        let platform = test(&["--package", "omnifs-platform", "--lib"], "the platform crate");
        platform
            .and(test(&["--package", "omnifs", "--lib", "--bins"], "the core and command line"))?;
        say("what of omnifs runs under Wine works");
        Ok(())
    }
}

/// Commands, their exit codes, and what they must say.
const COMMANDS: &[(&str, i32, &[&str])] = &[
    ("--version", 0, &["omnifs "]),
    ("status", 3, &["nothing is mounted"]),
    ("providers list", 0, &["docker", "github", "linear"]),
    ("providers info github", 0, &["https://api.github.com", "it may reach"]),
    // The same component as on Linux, and the pipe of this system.
    ("providers info docker", 0, &["npipe:////./pipe/docker_engine"]),
    ("config path", 0, &["config.toml"]),
    ("config check", 0, &[]),
    ("config show", 0, &["winfsp"]),
    ("mount o", 4, &["O is no drive letter: write O:"]),
    ("mount C:", 4, &["C: is in use: name another letter"]),
    ("mount C:\\windows", 4, &["name one that does not exist yet"]),
    ("mount C:\\no\\where", 4, &["make it first"]),
    ("mount --foreground O:", 1, &["this build cannot mount through winfsp"]),
    ("unmount O:", 3, &["nothing is mounted at"]),
];

/// Tests of the platform crate: names, descriptors and the stand-in for WinFsp's dispatcher, on
/// Windows's own times, paths and strings. A line that says why not, where they cannot run.
pub fn test_platform() -> Result<Option<String>> {
    if let Some(why) = missing()? {
        return Ok(Some(format!("the platform's tests under Wine: {why}")));
    }
    build_stand_in()?;
    test(&["--package", "omnifs-platform", "--lib"], "the platform crate")?;
    Ok(None)
}

fn test(which: &[&str], what: &str) -> Result<()> {
    let mut command = cargo::cargo();
    command.args(["test", "--target", TARGET]).args(which);
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE);
    wine(&mut command)?;
    step::run(&mut command, &format!("testing {what} under Wine"), minutes(60))
}

/// The demonstration's services and the tree over them, both under Wine, read from here by NFS.
fn serve(program: &Path, twins: &Path, home: &Path) -> Result<()> {
    let mut twins = Background::start(twins, &[], home)?;
    let said = twins.until("Linear:")?;
    let mut urls = said.split_whitespace().filter(|word| word.starts_with("http://127.0.0.1:"));
    let mut url = || -> Result<String> {
        let url = urls.next().context("the twins name no address")?;
        let port = url.trim_start_matches("http://127.0.0.1:");
        Ok(format!("http://127.0.0.1:{}", port.split('/').next().unwrap_or(port)))
    };
    let config = format!(
        "[instances.github]\nendpoints.api = \"{}\"\n[instances.linear]\nendpoints.api = \"{}\"\n\
         [instances.docker]\nenabled = false\n",
        url()?,
        url()?
    );
    fs::write(home.join("demo.toml"), config).context("writing demo.toml")?;
    let arguments = ["--config", "demo.toml", "serve", "nfs"];
    let mut served = Background::start(program, &arguments, home)?;
    let said = served.until("Linux:")?;
    let after = |mark: &str| {
        let rest = &said[said.find(mark)? + mark.len()..];
        rest.split([',', ' ', '\n']).next().map(str::to_owned)
    };
    let port = after("mountport=").context("no port")?;
    let export = after("127.0.0.1:/").context("no export")?;
    let url = |path: &str| {
        format!("nfs://127.0.0.1/{export}{path}?nfsport={port}&mountport={port}&version=3")
    };
    for (tool, path, says) in READS {
        let said = step::output(Command::new(tool).arg(url(path)), tool, minutes(1))?;
        if !said.contains(says) {
            bail!("{tool} of {path}, served under Wine, does not say {says:?}: {said}");
        }
        say(&format!("under Wine, by NFS: {path}: as expected"));
    }
    run(program, home, "status", 0, &["github  github", "0 failed"])?;
    // As the user finds it there, with the drive of the prefix.
    let point = "C:\\users\\USER\\AppData\\Local\\omnifs\\data\\state\\nfs\\served";
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    run(program, home, &format!("unmount {}", point.replace("USER", &user)), 0, &[])?;
    served.ended()
}

/// What is read from the tree, by which program, and what it must say.
const READS: &[(&str, &str, &str)] = &[
    ("nfs-ls", "", "github"),
    ("nfs-ls", "/github/acme/api/_issues/_open", "2853"),
    ("nfs-cat", "/github/acme/api/_issues/_open/2853/title", "Login fails after token refresh"),
    ("nfs-ls", "/linear/teams/ENG", "issues"),
];

/// A program under Wine that goes on; it ends with this value.
struct Background {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Background {
    fn start(program: &Path, arguments: &[&str], home: &Path) -> Result<Background> {
        let mut command = Command::new(WINE);
        command.arg(program).args(arguments).current_dir(home);
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        wine(&mut command)?;
        let mut child = command.spawn().with_context(|| WINE.to_owned())?;
        let stdout = child.stdout.take().context("no pipe")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let all = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
            all.for_each(|line| drop(sender.send(line)));
        });
        Ok(Background { child, lines })
    }

    /// What it has said up to the line after the one with `mark`.
    fn until(&mut self, mark: &str) -> Result<String> {
        let mut said = String::new();
        let end = Instant::now() + minutes(3);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.with_context(|| format!("it never said {mark:?}, but: {said}"))?;
            let marked = said.contains(mark);
            said.push_str(&line);
            said.push('\n');
            if marked || line.contains(mark) && line.contains("127.0.0.1") {
                return Ok(said);
            }
        }
    }

    fn ended(mut self) -> Result<()> {
        let gone = || self.child.try_wait().ok().flatten();
        match omnifs_support::wait_until(minutes(1), gone) {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server under Wine ended with {status}"),
            None => bail!("the server under Wine goes on after its unmount"),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What keeps programs for Windows from being made and run here.
fn missing() -> Result<Option<String>> {
    if let Some(line) = setup::need(setup::Goal::Wine)?.into_iter().next() {
        return Ok(Some(line));
    }
    Ok(target_added(TARGET).err())
}

/// The library that stands in for bcryptprimitives.dll.
fn build_stand_in() -> Result<()> {
    let folder = folder()?;
    let source = folder.join("prng.c");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&source, SHIM))
        .with_context(|| source.display().to_string())?;
    let mut compile = Command::new("x86_64-w64-mingw32-gcc");
    compile.arg("-shared").arg("-o").arg(folder.join("bcryptprimitives.dll"));
    compile.arg(&source).arg("-ladvapi32");
    step::run(&mut compile, "building the stand-in for bcryptprimitives.dll", minutes(1))
}

fn folder() -> Result<PathBuf> {
    Ok(cargo::target()?.join("windows"))
}

/// Sets Wine up for a command: a prefix of its own, nothing on a screen, and the stand-in.
fn wine(command: &mut Command) -> Result<()> {
    let folder = folder()?;
    command
        .env("WINEPREFIX", folder.join("prefix"))
        .env("WINEPATH", &folder)
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "bcryptprimitives=n;mscoree=;mshtml=");
    Ok(())
}

fn run(program: &Path, home: &Path, line: &str, code: i32, says: &[&str]) -> Result<()> {
    let mut command = Command::new(WINE);
    command.arg(program).args(line.split(' ')).current_dir(home);
    wine(&mut command)?;
    let output = command.output().with_context(|| WINE.to_owned())?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let missing: Vec<_> = says.iter().filter(|text| !said.contains(**text)).collect();
    if output.status.code() != Some(code) || !missing.is_empty() {
        loud(&said);
        bail!("`omnifs {line}` under Wine: {}, and it does not say {missing:?}", output.status);
    }
    say(&format!("under Wine: omnifs {line}: as expected"));
    Ok(())
}
