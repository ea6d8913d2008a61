//! What the doctor looks at. Each check is bounded: none asks a service or enters a mount.

use super::super::{Context, is_root, shown, wait};
use super::fix::Fix;
use super::{Finding, directories};
use omnifs::capability::{Egress, egress};
use omnifs::config::{Backend, Config, Instance};
use omnifs::credentials::Environment;
use omnifs::provider::{Endpoint, Manifest};
use omnifs::{host, paths, trust};
use omnifs_platform::mounting;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub fn all(context: &Context) -> Vec<Finding> {
    let config = Config::load(&context.paths.config, context.named);
    let effective = config.as_ref().ok().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    if effective.mount.backend == Backend::Fuse {
        findings.push(fuse_device());
        findings.push(fusermount());
        findings.push(user_allow_other(effective.mount.allow_other));
    }
    if effective.mount.backend == Backend::Nfs {
        findings.push(nfs_client());
    }
    #[cfg(all(windows, target_env = "msvc"))]
    if effective.mount.backend == Backend::Winfsp {
        findings.push(match omnifs_platform::winfsp::check() {
            Ok(()) => Finding::good("WinFsp is installed"),
            Err(refusal) => {
                // Each is one line: what is wrong, and what to do.
                let line = refusal.to_string();
                let (what, mend) = line.split_once(": ").unwrap_or((&line, "reinstall WinFsp"));
                Finding::bad(what, mend)
            }
        });
    }
    findings.extend(directories::all(&context.paths));
    findings.extend(proxy(&effective));
    match config {
        Ok(config) => {
            let file = shown(&context.paths.config);
            let state =
                if config.file.is_some() { "is right" } else { "does not exist, which is fine" };
            findings.push(Finding::good(format!("the configuration {file} {state}")));
            findings.extend(fleet(&config));
            match context.instances(&config, &[]) {
                // Nothing in a directory that is not believed is looked at.
                Ok(_) if trust::check(&context.paths.data).is_err() => {}
                Ok(instances) => {
                    let enabled = instances.iter().filter(|instance| instance.enabled);
                    findings
                        .extend(enabled.flat_map(|i| {
                            [provider(context, i), secrets(i)].into_iter().flatten()
                        }));
                }
                Err(failure) => {
                    findings.push(Finding::bad(failure.message, "see the configuration"))
                }
            }
        }
        Err(errors) => findings.extend(errors.iter().map(|error| {
            let mend = error.hint().unwrap_or_else(|| "correct that line".into());
            let fix = match error {
                omnifs::config::Error::Distrust(distrust) => {
                    Fix::of(distrust, &context.paths.config)
                }
                _ => None,
            };
            Finding::bad(error.to_string(), mend).fixed_by(fix)
        })),
    }
    findings.extend(mounts(context));
    findings.extend(git());
    findings
}

/// Whether the fleet's bus lets this machine in, and whether its mounts believe what it relays.
fn fleet(config: &Config) -> Vec<Finding> {
    let Some(fleet) = &config.fleet else { return Vec::new() };
    let mut findings = Vec::new();
    let tried = |whose: &str, credentials: Option<&Path>| {
        let tried = wait(host::try_bus(fleet, credentials, BUS_PATIENCE));
        match tried
            .map_err(|failure| failure.message)
            .and_then(|tried| tried.map_err(|refused| refused.message))
        {
            Ok(()) => Finding::good(format!("the bus {} lets the {whose} in", fleet.url)),
            Err(why) => Finding::warning(
                format!("the bus {} does not let the {whose} in: {why}", fleet.url),
                "see url and credentials-file in the configuration; mounts poll by themselves meanwhile",
            ),
        }
    };
    findings.push(tried("mount", fleet.credentials_file.as_deref()));
    if let Some(relay) = &config.relay {
        findings.push(tried("relay", relay.credentials_file.as_deref()));
        findings.push(match host::public_key(&relay.key_file) {
            Ok(public) if fleet.relays.contains(&public) => {
                Finding::good("the relay's key is one that mounts believe")
            }
            Ok(public) => Finding::bad(
                "the relay's key is not among `relays` of [fleet]: it does not run",
                format!("add \"{public}\" there, for mounts as well"),
            ),
            Err(refused) => Finding::bad(refused.message, "`omnifs relay key FILE` makes a key"),
        });
    }
    findings
}

/// For the bus to answer.
const BUS_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a proxy that the environment names is used. Its address may hold a password, and is not shown.
fn proxy(config: &Config) -> Option<Finding> {
    let (name, value) = egress::variable(&Environment::process())?;
    Some(match &config.egress {
        Egress::Environment if egress::parse(&value).is_err() => {
            let rule = egress::parse(&value).err().unwrap_or_default();
            Finding::bad(
                format!("{name} cannot be used: {rule}"),
                format!("set {name} to such a URL"),
            )
        }
        Egress::Direct => Finding::warning(
            format!("{name} is set, and requests do not go through that proxy"),
            "to have them do so, set proxy = \"environment\" in [network] of the configuration",
        ),
        Egress::Environment => Finding::good(format!("requests go through the proxy of {name}")),
        Egress::Proxy { .. } => {
            Finding::good(format!("requests go through the configured proxy, not that of {name}"))
        }
    })
}

/// Whether git would open a repository that merely lies in a directory, as any service can show one. A
/// mount's files are nobody's, which stops it too; copies of them are the user's.
fn git() -> Option<Finding> {
    const KEY: &str = "safe.bareRepository";
    let set = |scope: &str| {
        let mut command = omnifs_platform::child::command(program("git")?);
        for name in ["HOME", "XDG_CONFIG_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // From no directory that somebody else may have made.
        command.current_dir("/").args(["config", scope, "--get", KEY]);
        let output = command.output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim() == "explicit")
    };
    Some(if set("--global")? || set("--system")? {
        Finding::good(format!("git has {KEY} = explicit"))
    } else {
        Finding::warning(
            "git opens a repository that merely lies in a directory, as copies of a mount may hold",
            format!("git config --global {KEY} explicit"),
        )
    })
}

fn fuse_device() -> Finding {
    let device = Path::new("/dev/fuse");
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => Finding::good("/dev/fuse can be opened"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::bad(
            "/dev/fuse does not exist",
            "load the kernel module: sudo modprobe fuse; for a container: --device /dev/fuse \
             --cap-add SYS_ADMIN",
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::bad(
            "/dev/fuse may not be opened",
            "sudo chmod 666 /dev/fuse, as udev's own rule does; in a container: --device /dev/fuse",
        ),
        Err(error) => Finding::bad(
            format!("/dev/fuse cannot be opened: {error}"),
            "load the kernel module: sudo modprobe fuse",
        ),
    }
}

fn nfs_client() -> Finding {
    use omnifs_platform::nfs::mounting::{AttachError, has_client};
    let missing = if !has_client() {
        AttachError::NoClient
    } else if cfg!(target_os = "linux") && !is_root() {
        AttachError::NotPermitted
    } else {
        return Finding::good("this kernel can mount NFS");
    };
    Finding::bad(missing.to_string(), missing.hint().unwrap_or_default())
}

/// The first file of this name in `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(unix)]
fn runs_as_root(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).is_ok_and(|m| m.uid() == 0 && m.mode() & 0o4000 != 0)
}

#[cfg(not(unix))]
fn runs_as_root(_: &Path) -> bool {
    false
}

fn fusermount() -> Finding {
    const INSTALL: &str = "install it: sudo apt install fuse3 (Debian, Ubuntu), sudo dnf install \
                           fuse3 (Fedora)";
    match program("fusermount3") {
        None if is_root() => {
            Finding::good("fusermount3 is not installed, and root does not need it")
        }
        None => Finding::bad("fusermount3 is not installed", INSTALL),
        Some(file) if !is_root() && !runs_as_root(&file) => Finding::bad(
            format!("{} does not run as root", shown(&file)),
            format!("sudo chown root {0} && sudo chmod u+s {0}", paths::quoted(&file)),
        ),
        Some(_) if nameless_user().is_some() => {
            let user = nameless_user().unwrap_or_default();
            Finding::bad(
                format!("fusermount3 mounts for nobody without a name, and user {user} has none"),
                format!(
                    "add the user to /etc/passwd, as by: useradd -u {user} NAME; or mount as root"
                ),
            )
        }
        Some(file) => Finding::good(format!("{} is installed", shown(&file))),
    }
}

/// The number of this user, should the system know no name for it: fusermount3 then says "could not
/// determine username". Containers are often run so.
#[cfg(unix)]
fn nameless_user() -> Option<u32> {
    let user = rustix::process::geteuid();
    // SAFETY: no other thread of this process asks for users, and the answer is not read.
    let entry = unsafe { libc::getpwuid(user.as_raw()) };
    (!user.is_root() && entry.is_null()).then_some(user.as_raw())
}

#[cfg(not(unix))]
fn nameless_user() -> Option<u32> {
    None
}

fn user_allow_other(wanted: bool) -> Finding {
    let text = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    let set = text.lines().any(|line| line.trim() == "user_allow_other");
    match (set || is_root(), wanted) {
        (true, _) => Finding::good("--allow-other may be used"),
        (false, false) => {
            Finding::good("--allow-other is not used (/etc/fuse.conf does not allow it)")
        }
        (false, true) => Finding::bad(
            "allow-other is configured, and /etc/fuse.conf does not allow it",
            "add the line user_allow_other to /etc/fuse.conf, or set allow-other to false",
        ),
    }
}

/// The component, its approval, its sockets and its credentials.
fn provider(context: &Context, instance: &Instance) -> Vec<Finding> {
    let name = &instance.name;
    let manifest = match host::described(instance, &context.paths.cache) {
        Ok((_, manifest)) => manifest,
        Err(refused) => {
            let mend =
                refused.hint.unwrap_or_else(|| "name another file, or build it again".into());
            return vec![Finding::warning(format!("provider {name}: {}", refused.message), mend)];
        }
    };
    let mut findings =
        vec![Finding::good(format!("provider {name}: {} {}", manifest.name, manifest.version))];
    findings.extend(sockets(instance, &manifest));
    let credentials = wait(host::credentials(instance, &manifest));
    match credentials.and_then(|credentials| Ok(credentials?)) {
        Err(failure) => findings.push(Finding::warning(
            format!("provider {name}: {}", failure.message),
            failure.hints.into_iter().next().unwrap_or(format!("omnifs auth status {name}")),
        )),
        Ok(credentials) => findings.extend(credentials.into_iter().map(|credential| {
            let what = format!("provider {name}: credential {}", credential.name);
            match (credential.source, credential.detail) {
                (Some(source), _) if !credential.state.is_bad() => {
                    Finding::good(format!("{what} from {source}"))
                }
                (_, detail) => Finding::warning(
                    format!("{what} {}", credential.state.word()),
                    detail.unwrap_or_else(|| format!("omnifs auth login {name}")),
                ),
            }
        })),
    }
    findings
}

/// Where an endpoint is: as configured, as the environment says, or as declared.
fn url_of(instance: &Instance, endpoint: &Endpoint) -> String {
    let configured = instance.config.endpoints.get(&endpoint.name).and_then(|e| e.url.clone());
    let variable = endpoint.url_environment.as_ref();
    let environment = variable.and_then(|name| std::env::var(name).ok());
    let environment = environment.filter(|url| !url.is_empty());
    configured.or(environment).unwrap_or_else(|| endpoint.default_url.clone())
}

fn elsewhere(instance: &Instance, endpoint: &Endpoint) -> String {
    let variable = endpoint.url_environment.as_ref();
    format!(
        "if it is elsewhere, set endpoints.{} in [instances.{}]{}",
        endpoint.name,
        instance.name,
        variable.map(|name| format!(" or {name}")).unwrap_or_default()
    )
}

/// Whether something answers at each endpoint that is a unix socket.
#[cfg(unix)]
fn sockets(instance: &Instance, manifest: &Manifest) -> Vec<Finding> {
    use std::os::unix::net::UnixStream;
    let mut findings = Vec::new();
    for endpoint in &manifest.endpoints {
        let url = url_of(instance, endpoint);
        // What else a variable holds may be a secret, and is not repeated.
        let socket = url.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let Some(socket) = socket else { continue };
        let what = format!("provider {}: {} at {socket}", instance.name, endpoint.name);
        let elsewhere = elsewhere(instance, endpoint);
        findings.push(match UnixStream::connect(socket) {
            Ok(_) => Finding::good(format!("{what} answers")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::warning(
                format!("{what} may not be used"),
                format!(
                    "join the group that owns it (ls -l {}; sudo usermod -aG GROUP $USER), \
                     then log in again",
                    paths::quoted_text(socket)
                ),
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
                format!("{what} does not exist"),
                format!("start the service; {elsewhere}"),
            ),
            Err(error) => Finding::warning(
                format!("{what} does not answer: {error}"),
                format!("start the service; {elsewhere}"),
            ),
        });
    }
    findings
}

/// Whether there is a pipe at each endpoint that is one.
#[cfg(windows)]
fn sockets(instance: &Instance, manifest: &Manifest) -> Vec<Finding> {
    let pipes = manifest.endpoints.iter().filter_map(|endpoint| {
        let url = url_of(instance, endpoint);
        let path = omnifs::capability::pipe(&url)?;
        let what = format!("provider {}: {} at {path}", instance.name, endpoint.name);
        Some(match std::fs::File::options().read(true).write(true).open(&path) {
            Ok(_) => Finding::good(format!("{what} answers")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::warning(
                format!("{what} may not be used"),
                "join the group that the service lets in, then log in again",
            ),
            Err(error) => Finding::warning(
                format!("{what} does not answer: {error}"),
                format!("start the service; {}", elsewhere(instance, endpoint)),
            ),
        })
    });
    pipes.collect()
}

/// Files with secrets that others may read. A credential in one is not used.
fn secrets(instance: &Instance) -> Vec<Finding> {
    let config = &instance.config;
    let files = config.credential_files.values().chain(&config.credential_file);
    let open = files.chain(&config.webhook_secret_file).filter(|file| is_open(file));
    let row = |file: &PathBuf| {
        let what =
            format!("provider {}: others may read the secret in {}", instance.name, shown(file));
        Finding::warning(what, format!("chmod 600 {}", paths::quoted(file)))
            .fixed_by(Some(Fix::CloseToReaders(file.clone())))
    };
    open.map(row).collect()
}

#[cfg(unix)]
fn is_open(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

fn mounts(context: &Context) -> Vec<Finding> {
    let running = match trust::check(&context.paths.state) {
        Ok(()) => context.registry().list(),
        Err(_) => Vec::new(),
    };
    let mut findings: Vec<_> = running
        .iter()
        .map(|r| Finding::good(format!("mounted at {} by process {}", r.mountpoint, r.pid)))
        .collect();
    for mount in mounting::table().into_iter().filter(|mount| mount.ours() && mount.dead()) {
        let path = shown(&mount.path);
        let row = Finding::warning(
            format!("{path} is still mounted, and its process has ended"),
            format!(
                "omnifs unmount {} (the next mount there does it too)",
                paths::quoted(&mount.path)
            ),
        );
        findings.push(row.fixed_by(Some(Fix::Unmount(mount))));
    }
    findings
}
