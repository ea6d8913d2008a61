//! `mount.omnifs`: what mount(8), /etc/fstab and systemd call for the type `omnifs`. It is this program under
//! another name, and its options are the flags of `omnifs mount`.

use super::terminal;
use clap::{ArgAction, Command};
use omnifs::config::nearest;
use omnifs_platform::mounting;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Exit codes as mount(8) has them: a wrong call, and a mount that failed.
const WRONG: u8 = 1;
const FAILED: u8 = 32;

/// What mount(8) and systemd take for themselves, or what means nothing here. The mount is always without
/// devices and set-user-ID programs, and read-only whatever `rw` says.
const OTHERS: [&str; 33] = [
    "_netdev",
    "async",
    "atime",
    "auto",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "group",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "nofail",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nouser",
    "owner",
    "relatime",
    "ro",
    "rw",
    "silent",
    "strictatime",
    "suid",
    "sync",
];
const OTHERS_BEGIN: [&str; 6] = ["x-", "X-", "comment=", "uhelper=", "helper=", "user"];

/// Whether the program was called by that name.
pub fn is_called(program: Option<&OsStr>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == "mount.omnifs")
}

/// What a call asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    /// `-f`: nothing.
    fake: bool,
    /// `-v`
    verbose: bool,
    /// The arguments for `omnifs`.
    arguments: Vec<OsString>,
}

/// Mounts as the arguments after the program's name say.
pub fn run(arguments: impl Iterator<Item = OsString>, command: &Command) -> ExitCode {
    let call = match read(arguments, command) {
        Ok(call) => call,
        Err(text) => {
            terminal::tell("mount.omnifs", &text);
            return ExitCode::from(WRONG);
        }
    };
    if call.fake {
        return ExitCode::SUCCESS;
    }
    // `mount -a` twice is no mistake. mount(8) does not see it: it takes a source that is called like a
    // directory of / for that directory.
    let there = |directory: &OsString| {
        let path = mounting::resolve(Path::new(directory)).ok()?;
        mounting::mounted_at(&path).filter(|mount| mount.ours() && !mount.dead())
    };
    if call.arguments.last().and_then(there).is_some() {
        terminal::tell("mount.omnifs", "it is mounted already, and stays as it is");
        return ExitCode::SUCCESS;
    }
    let mounted = std::env::current_exe().and_then(|program| {
        let mut command = std::process::Command::new(program);
        if !call.verbose {
            command.stdout(std::process::Stdio::null());
        }
        command.args(&call.arguments).status()
    });
    match mounted {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            terminal::tell("mount.omnifs", &format!("cannot start omnifs: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// `SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]`
fn read(arguments: impl Iterator<Item = OsString>, command: &Command) -> Result<Call, String> {
    let usage = "write: mount -t omnifs omnifs DIR [-o OPTIONS]";
    let (mut call, mut sloppy) = (Call::default(), false);
    let (mut places, mut lists) = (Vec::new(), Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-o") => lists.push(arguments.next().ok_or(usage)?),
            Some("-t" | "-N") => drop(arguments.next()),
            Some(flags) if flags.starts_with('-') && flags.len() > 1 => {
                for flag in flags.chars().skip(1) {
                    match flag {
                        's' => sloppy = true,
                        'f' => call.fake = true,
                        'v' => call.verbose = true,
                        'n' | 'r' | 'w' => {}
                        _ => return Err(format!("unknown flag -{flag}; {usage}")),
                    }
                }
            }
            _ => places.push(argument),
        }
    }
    // What is mounted is always the same, whatever the source is called.
    let [_, directory] = places.as_slice() else { return Err(usage.to_owned()) };
    call.arguments.push("mount".into());
    for list in lists {
        let list = list.to_str().ok_or("the options are not UTF-8")?;
        for option in split(list) {
            match flag(&option, command) {
                Ok(flag) => call.arguments.extend(flag.map(OsString::from)),
                Err(_) if sloppy => {}
                Err(error) => return Err(error),
            }
        }
    }
    call.arguments.extend(["--".into(), directory.clone()]);
    Ok(call)
}

/// At commas, of which those in double quotes are part of a value.
fn split(list: &str) -> Vec<String> {
    let (mut options, mut quoted) = (vec![String::new()], false);
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => options.push(String::new()),
            // The first element is there from the start.
            c => options.last_mut().into_iter().for_each(|option| option.push(c)),
        }
    }
    options.retain(|option| !option.is_empty());
    options
}

/// The flag that an option stands for; `None` for one that is somebody else's.
fn flag(option: &str, command: &Command) -> Result<Option<String>, String> {
    if option == "noexec" {
        return Ok(Some("--exec=false".to_owned()));
    }
    if OTHERS.contains(&option) || OTHERS_BEGIN.iter().any(|begin| option.starts_with(begin)) {
        return Ok(None);
    }
    let (name, value) = option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v)));
    let mount = command.find_subcommand("mount");
    let flags = command.get_arguments().chain(mount.into_iter().flat_map(Command::get_arguments));
    // A form of output is for who waits for it.
    const OTHER_USES: [&str; 5] = ["foreground", "json", "quiet", "verbose", "color"];
    let flags =
        flags.filter(|flag| !flag.is_hide_set() && !OTHER_USES.contains(&flag.get_id().as_str()));
    let flags: Vec<_> = flags.filter_map(|flag| Some((flag.get_long()?, flag))).collect();
    let long = name.replace('_', "-");
    let Some((_, known)) = flags.iter().find(|(known, _)| *known == long) else {
        let names: Vec<_> = flags.iter().map(|(known, _)| known.replace('-', "_")).collect();
        let near = nearest(&name.replace('-', "_"), names.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
        let all = names.join(", ");
        return Err(format!("unknown option '{name}': {near}remove it, or write one of {all}"));
    };
    let optional = known.get_num_args().is_some_and(|range| range.min_values() == 0);
    let takes = matches!(known.get_action(), ArgAction::Set | ArgAction::Append);
    match value {
        None | Some("") if takes && !optional => Err(format!("write a value: {name}=...")),
        None => Ok(Some(format!("--{long}"))),
        Some(value) => Ok(Some(format!("--{long}={value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn called(arguments: &[&str]) -> Result<Call, String> {
        read(arguments.iter().map(OsString::from), &crate::cli::Cli::command())
    }

    #[test]
    fn a_line_of_fstab_is_a_command_line() {
        let list = "rw,_netdev,allow_other,nofail,x-systemd.automount,config=/etc/o.toml,noexec,\
                    cache_capacity=\"1000,5MiB\",provider=a=/b.wasm,stale-if-error=no";
        let call = called(&["omnifs", "/om ni", "-o", list]).unwrap();
        let flags = [
            "mount",
            "--allow-other",
            "--config=/etc/o.toml",
            "--exec=false",
            "--cache-capacity=1000,5MiB",
            "--provider=a=/b.wasm",
            "--stale-if-error=no",
            "--",
            "/om ni",
        ];
        assert_eq!(call.arguments, flags);
        let parsed = <crate::cli::Cli as clap::Parser>::try_parse_from(
            std::iter::once(OsString::from("omnifs")).chain(call.arguments),
        );
        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn an_unknown_option_is_named_with_what_to_write_unless_the_call_is_sloppy() {
        let error = called(&["omnifs", "/m", "-o", "rw,alow_other"]).unwrap_err();
        assert!(error.starts_with("unknown option 'alow_other': did you mean 'allow_other'?"));
        assert!(!error.contains('\n') && error.contains("cache_capacity"), "{error}");
        assert!(called(&["omnifs", "/m", "-o", "config"]).unwrap_err().contains("config=..."));
        // These are for a process that somebody waits for.
        assert!(called(&["omnifs", "/m", "-o", "foreground"]).is_err());
        let call = called(&["omnifs", "/m", "-sf", "-o", "alow_other"]).unwrap();
        assert!(call.fake && call.arguments == ["mount", "--", "/m"]);
        assert!(called(&["/m"]).unwrap_err().contains("mount -t omnifs"));
    }

    #[test]
    fn it_is_called_by_its_own_name_alone() {
        assert!(is_called(Some(OsStr::new("/sbin/mount.omnifs"))));
        assert!(!is_called(Some(OsStr::new("/usr/bin/omnifs"))) && !is_called(None));
    }
}
