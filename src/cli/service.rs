use super::failure::{Exit, Failure};
use super::{Context, is_root, shown, terminal};
use clap::{Args, Subcommand};
use omnifs::paths;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Have the mount there after each boot or login
///
/// By systemd, launchd or Windows's services. Root's service mounts for all users at boot; a user's mounts at the
/// login, for that user.
#[derive(Debug, Subcommand)]
pub enum Service {
    Install(Install),
    Status(Status),
    Remove(Remove),
}

/// Write the service and start it
#[derive(Debug, Args)]
pub struct Install {
    /// Where to mount; ~/omnifs unless told otherwise, for root /omnifs, on Windows O:
    path: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print what would be written and run
    #[arg(long)]
    dry_run: bool,
}

/// Say whether there is a service, and whether it runs
///
/// The exit code is 3 if there is none.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    which: Which,
}

/// Stop the service, unmount and leave nothing of it
#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    which: Which,
    /// Print what would be run and removed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Which {
    /// That of this user, also as root
    #[arg(long)]
    user: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Systemd,
    Launchd,
    Windows,
}

const NATIVE: System = if cfg!(windows) {
    System::Windows
} else if cfg!(target_os = "macos") {
    System::Launchd
} else {
    System::Systemd
};

/// What makes a service, says how it is, and ends it.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Windows keeps its services in no file.
    file: Option<(PathBuf, String)>,
    start: Vec<Vec<String>>,
    ask: Vec<String>,
    stop: Vec<Vec<String>>,
    /// After the file is gone.
    forget: Vec<Vec<String>>,
}

/// A service: whose, what it runs, and where it mounts.
struct Wanted<'a> {
    user: bool,
    /// The user's configuration directory for systemd, the home for launchd.
    home: &'a Path,
    program: &'a Path,
    config: Option<&'a Path>,
    /// Directories that are believed whoever may change them.
    trusted: &'a [PathBuf],
    path: &'a Path,
}

pub fn run(context: &Context, args: &Service) -> Result<ExitCode, Failure> {
    let (Service::Install(Install { which, .. })
    | Service::Status(Status { which })
    | Service::Remove(Remove { which, .. })) = args;
    let user = which.user || !is_root();
    let base =
        directories::BaseDirs::new().ok_or_else(|| Failure::from(paths::Unusable::Homeless))?;
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot say where this program is: {e}")))?;
    let given = match args {
        Service::Install(Install { path: Some(path), .. }) => path.clone(),
        _ => default_path(user, base.home_dir()),
    };
    let path = if cfg!(windows) { Ok(given.clone()) } else { std::path::absolute(&given) };
    let path = path.map_err(|e| Failure::new(format!("{}: {e}", shown(&given))))?;
    let plan = plan(
        NATIVE,
        &Wanted {
            user,
            home: if cfg!(target_os = "macos") { base.home_dir() } else { base.config_dir() },
            program: &program,
            config: context.named.then_some(context.paths.config.as_path()),
            trusted: &context.trusted,
            path: &path,
        },
    )?;
    match args {
        Service::Install(Install { dry_run: true, .. }) => terminal::print(&plan.described(true))?,
        Service::Remove(Remove { dry_run: true, .. }) => terminal::print(&plan.described(false))?,
        Service::Install(_) => {
            plan.install()?;
            terminal::print(&format!("mounted at {}, and again after each start\n", shown(&path)))?;
            if NATIVE == System::Systemd && user {
                terminal::tell(
                    "note",
                    "to have it at boot, before a login: loginctl enable-linger",
                );
            }
        }
        Service::Status(_) => return plan.status(),
        Service::Remove(_) => plan.remove()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `omnifs service install PATH`, for another command.
pub fn install(context: &Context, path: &Path, dry_run: bool) -> Result<ExitCode, Failure> {
    let which = Which { user: false };
    run(context, &Service::Install(Install { path: Some(path.to_owned()), which, dry_run }))
}

/// Whether what starts services runs here: not in a container, for one (sd_booted(3)).
pub fn can_be_offered() -> bool {
    NATIVE != System::Systemd || Path::new("/run/systemd/system").is_dir()
}

/// Where a mount goes unless the user says otherwise.
pub fn usual_path() -> Result<PathBuf, Failure> {
    let base =
        directories::BaseDirs::new().ok_or_else(|| Failure::from(paths::Unusable::Homeless))?;
    Ok(default_path(!is_root(), base.home_dir()))
}

fn default_path(user: bool, home: &Path) -> PathBuf {
    match user {
        _ if cfg!(windows) => "O:".into(),
        true => home.join("omnifs"),
        false => "/omnifs".into(),
    }
}

/// Stands in each file that is written here.
const MARK: &str = "Written by `omnifs service install`";
const UNIT: &str = "omnifs.service";
const LABEL: &str = "org.omnifs";

fn plan(system: System, wanted: &Wanted<'_>) -> Result<Plan, Failure> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let text = |path: &Path| {
        let text = path.to_str().filter(|text| !text.contains(char::is_control));
        let strange = || Failure::new(format!("{} cannot be named in a service", shown(path)));
        text.map(str::to_owned).ok_or_else(|| strange().exit(Exit::Usage))
    };
    let (program, path) = (text(wanted.program)?, text(wanted.path)?);
    let flag = |flag: &str, value| text(value).map(|value| [flag.to_owned(), value]);
    let config = wanted.config.iter().map(|file| flag("--config", file));
    let trusted = wanted.trusted.iter().map(|directory| flag("--trust-path", directory));
    let flags = config.chain(trusted).collect::<Result<Vec<_>, _>>()?.concat();
    match system {
        System::Systemd => {
            let (file, packaged, place, scope) = match wanted.user {
                true => (
                    wanted.home.join("systemd/user").join(UNIT),
                    include_str!("../../installers/linux/omnifs.service"),
                    "%h/omnifs",
                    "systemctl --user",
                ),
                false => (
                    Path::new("/etc/systemd/system").join(UNIT),
                    include_str!("../../installers/linux/omnifs@.service"),
                    "%f",
                    "systemctl",
                ),
            };
            let flags = flags.iter().map(|word| unit_word(word) + " ").collect::<String>();
            let command = format!("{} {flags}mount ", unit_word(&program));
            let unit = filled(
                packaged,
                &[("/usr/bin/omnifs mount ", &command), (place, &unit_word(&path))],
            );
            let head = format!("# {MARK}; `omnifs service remove` takes it away.\n");
            let body = unit.split_once("[Unit]").map_or(unit.as_str(), |(_, rest)| rest);
            Ok(Plan {
                file: Some((file, format!("{head}[Unit]{body}"))),
                start: vec![
                    words(&format!("{scope} daemon-reload")),
                    words(&format!("{scope} enable {UNIT}")),
                    words(&format!("{scope} restart {UNIT}")),
                ],
                ask: words(&format!("{scope} is-active {UNIT}")),
                stop: vec![words(&format!("{scope} disable --now {UNIT}"))],
                forget: vec![words(&format!("{scope} daemon-reload"))],
            })
        }
        System::Launchd => {
            let (file, domain) = match wanted.user {
                true => (wanted.home.join("Library/LaunchAgents"), format!("gui/{}", user_id())),
                false => (PathBuf::from("/Library/LaunchDaemons"), "system".to_owned()),
            };
            let file = file.join(format!("{LABEL}.plist"));
            let word = |word: &String| format!("    <string>{}</string>\n", xml(word));
            let flags = flags.iter().map(word).collect::<String>();
            let mount = "    <string>mount</string>\n";
            let list = filled(
                include_str!("../../installers/macos/org.omnifs.plist"),
                &[
                    ("<plist version", &format!("<!-- {MARK} -->\n<plist version")),
                    (mount, &format!("{flags}{mount}")),
                    ("@PROGRAM@", &xml(&program)),
                    ("@PATH@", &xml(&path)),
                ],
            );
            let mut bootstrap = words(&format!("launchctl bootstrap {domain}"));
            bootstrap.push(text(&file)?);
            Ok(Plan {
                file: Some((file, list)),
                start: vec![bootstrap],
                ask: words(&format!("launchctl print {domain}/{LABEL}")),
                stop: vec![words(&format!("launchctl bootout {domain}/{LABEL}"))],
                forget: Vec::new(),
            })
        }
        System::Windows => {
            let pairs = flags.chunks(2).map(|pair| format!("{} \"{}\" ", pair[0], pair[1]));
            let flags = pairs.collect::<String>();
            let mut create = words("sc.exe create omnifs start= auto binPath=");
            create.push(format!("\"{program}\" {flags}mount --foreground \"{path}\""));
            Ok(Plan {
                file: None,
                start: vec![create, words("sc.exe start omnifs")],
                ask: words("sc.exe query omnifs"),
                stop: vec![words("sc.exe stop omnifs"), words("sc.exe delete omnifs")],
                forget: Vec::new(),
            })
        }
    }
}

#[cfg(unix)]
fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn user_id() -> u32 {
    0
}

/// A template with each of these places filled. What is put in is no template: it may hold such a place itself.
fn filled(template: &str, places: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), template);
    let next = |rest: &str| {
        let found =
            places.iter().filter_map(|(place, text)| Some((rest.find(place)?, *place, *text)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, place, text)) = next(rest) {
        out.push_str(&rest[..at]);
        out.push_str(text);
        rest = &rest[at + place.len()..];
    }
    out + rest
}

/// A word as systemd.service(5) reads a command line.
fn unit_word(word: &str) -> String {
    let escaped =
        word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = word.chars().all(|c| c.is_alphanumeric() || "/._-+@:,=".contains(c));
    if plain { escaped } else { format!("\"{escaped}\"") }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn call(command: &[String]) -> Result<String, String> {
    let [program, arguments @ ..] = command else { return Ok(String::new()) };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("cannot run {program}: {e}"))?;
    let said =
        [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).trim().to_owned());
    match output.status.success() {
        true => Ok(said[0].clone()),
        false => Err(format!("`{}`: {}", command.join(" "), said.join(" ").trim())),
    }
}

impl Plan {
    fn described(&self, install: bool) -> String {
        let mut text = String::new();
        let lines = |commands: &[Vec<String>]| -> String {
            let quoted =
                |command: &Vec<String>| -> Vec<_> { command.iter().map(paths::quoted).collect() };
            commands.iter().map(|command| format!("run: {}\n", quoted(command).join(" "))).collect()
        };
        if !install {
            text.push_str(&lines(&self.stop));
        }
        if let Some((file, content)) = &self.file {
            // Writing to a String does not fail.
            let _ = match install {
                true => writeln!(text, "write {}:\n\n{content}", shown(file)),
                false => writeln!(text, "remove {}", shown(file)),
            };
        }
        text.push_str(&lines(if install { &self.start } else { &self.forget }));
        text
    }

    /// The file as it is. `None`: there is none.
    ///
    /// # Errors
    /// It is somebody else's: nothing is done to it.
    fn written(&self) -> Result<Option<String>, Failure> {
        let Some((file, _)) = &self.file else { return Ok(None) };
        match std::fs::read_to_string(file) {
            Ok(text) if text.contains(MARK) => Ok(Some(text)),
            Ok(_) => {
                let text = format!("{} was not written by `omnifs service install`", shown(file));
                Err(Failure::new(text).hint("move it away, or change it by hand"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(format!("cannot read {}: {error}", shown(file)))),
        }
    }

    fn install(&self) -> Result<(), Failure> {
        let before = self.written()?;
        let write = |content: &str| {
            let Some((file, _)) = &self.file else { return Ok(()) };
            let failed = |e| Failure::new(format!("cannot write {}: {e}", shown(file)));
            file.parent().map(std::fs::create_dir_all).transpose().map_err(failed)?;
            paths::replace(file, content.as_bytes()).map_err(failed)
        };
        write(self.file.as_ref().map_or("", |(_, content)| content))?;
        for command in &self.start {
            if let Err(error) = call(command) {
                // Undone, as far as it was done. What was there before goes on.
                self.stop.iter().for_each(|command| drop(call(command)));
                let undone = match &before {
                    Some(before) => write(before)
                        .map(|()| self.start.iter().for_each(|command| drop(call(command)))),
                    None => self.remove_file(),
                };
                if let Err(failure) = undone {
                    failure.lines().iter().for_each(|line| terminal::tell("warning", line));
                }
                let hint = match NATIVE {
                    System::Systemd => {
                        "where systemd does not run, a line of /etc/fstab mounts at boot: man mount.omnifs"
                    }
                    System::Launchd => "`omnifs service remove` first, if there is one",
                    System::Windows => "from an administrator's prompt",
                };
                return Err(Failure::new(error).hint(hint));
            }
        }
        Ok(())
    }

    fn status(&self) -> Result<ExitCode, Failure> {
        let none = || {
            Failure::new("there is no service")
                .hint("omnifs service install")
                .exit(Exit::NotMounted)
        };
        if let Some((file, _)) = &self.file {
            if !file.exists() {
                return Err(none());
            }
            terminal::print(&format!("installed: {}\n", shown(file)))?;
        }
        match call(&self.ask) {
            Ok(_) => terminal::print("it runs\n")?,
            Err(_) if self.file.is_none() => return Err(none()),
            Err(_) => {
                let hint = match NATIVE {
                    System::Systemd => {
                        "journalctl --user -u omnifs, or for root's: journalctl -u omnifs"
                    }
                    _ => "`omnifs logs` may say why",
                };
                return Err(Failure::new("it does not run").hint(hint));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn remove(&self) -> Result<(), Failure> {
        if self.written()?.is_none() && self.file.is_some() {
            return Err(Failure::new("there is no service").exit(Exit::NotMounted));
        }
        for command in &self.stop {
            // What did not run cannot be stopped; the file goes all the same.
            if let Err(error) = call(command) {
                terminal::tell("warning", &error);
            }
        }
        self.remove_file()?;
        for command in &self.forget {
            if let Err(error) = call(command) {
                terminal::tell("warning", &error);
            }
        }
        Ok(())
    }

    /// With the folders above it that hold nothing else.
    fn remove_file(&self) -> Result<(), Failure> {
        let Some((file, _)) = &self.file else { return Ok(()) };
        std::fs::remove_file(file)
            .map_err(|e| Failure::new(format!("cannot remove {}: {e}", shown(file))))?;
        for folder in file.ancestors().skip(1).take(2) {
            // Something else is in it.
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(system: System, user: bool) -> Plan {
        let wanted = Wanted {
            user,
            home: Path::new("/h"),
            program: Path::new("/opt/my tools/omnifs"),
            config: Some(Path::new("/c/50%.toml")),
            trusted: &[PathBuf::from("/t/%h/omnifs")],
            path: Path::new("/m/a&b $x"),
        };
        plan(system, &wanted).unwrap()
    }

    #[test]
    fn a_unit_names_program_configuration_and_place_as_systemd_reads_them() {
        let plan = planned(System::Systemd, true);
        let (file, unit) = plan.file.unwrap();
        assert_eq!(file, Path::new("/h/systemd/user/omnifs.service"));
        let line = "ExecStart=\"/opt/my tools/omnifs\" --config \"/c/50%%.toml\" --trust-path \"/t/%%h/omnifs\" mount --foreground --keeper \"/m/a&b $$x\"\n";
        assert!(unit.contains(line), "{unit}");
        assert!(unit.contains("ExecStartPre=-/bin/mkdir -p \"/m/a&b $$x\"\n"), "{unit}");
        assert!(
            unit.contains("Type=notify\n") && !unit.replace("%%h", "").contains("%h/omnifs"),
            "{unit}"
        );
        let root = planned(System::Systemd, false);
        let (file, unit) = root.file.unwrap();
        assert_eq!(file, Path::new("/etc/systemd/system/omnifs.service"));
        assert!(unit.contains("--foreground --keeper --allow-other \"/m/a&b $$x\"\n"), "{unit}");
        assert_eq!(root.start[1], ["systemctl", "enable", "omnifs.service"]);
    }

    #[test]
    fn an_agent_of_launchd_names_them_as_xml() {
        let (file, list) = planned(System::Launchd, true).file.unwrap();
        assert_eq!(file, Path::new("/h/Library/LaunchAgents/org.omnifs.plist"));
        for word in ["/opt/my tools/omnifs", "--config", "/c/50%.toml", "/m/a&amp;b $x"] {
            assert!(list.contains(&format!("<string>{word}</string>")), "{list}");
        }
        assert!(!list.contains('@'), "{list}");
    }

    #[test]
    fn a_service_of_windows_is_one_command_line() {
        let plan = planned(System::Windows, true);
        assert_eq!(plan.file, None);
        let line = "\"/opt/my tools/omnifs\" --config \"/c/50%.toml\" --trust-path \"/t/%h/omnifs\" mount --foreground \"/m/a&b $x\"";
        assert_eq!(plan.start[0].last().unwrap(), line);
        assert_eq!(plan.stop.last().unwrap(), &["sc.exe", "delete", "omnifs"]);
    }
}
