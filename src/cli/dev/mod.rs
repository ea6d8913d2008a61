mod project;

use super::failure::Failure;
use super::output::{self, chosen};
use super::providers::describe;
use super::{Context, mount, shown, terminal};
use clap::Args;
use omnifs::approval::Asks;
use omnifs::component;
use omnifs::config::{Approval, Instance};
use omnifs::control::{Daemon, Refused};
use omnifs::host;
use omnifs::logs::printable;
use omnifs::paths::quoted;
use project::{Project, Sources, Unbuilt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::Duration;

/// How soon a change of a source is seen.
const PACE: Duration = Duration::from_millis(500);

/// Build a provider, mount it, and do so again with each change
///
/// PROJECT is one that `omnifs init` has begun. It is built with cargo, what it asks for is shown and asked about, and
/// it is mounted, alone. Cargo.toml, build.rs and what is below src are then looked at twice a second. After a change the
/// new component takes the place of the old one in the same mount: inodes stay, open files keep their content, and all
/// else is asked for again. What does not build or start leaves the old one, and so does what asks for something else,
/// until that is approved too. The provider's log lines are shown; Ctrl-C unmounts.
#[derive(Debug, Args)]
pub struct Dev {
    /// The folder of the project
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Where to mount; the directory is made if it is missing, and then removed at the end [default: mnt in the project]
    #[arg(long, value_name = "PATH")]
    mount: Option<PathBuf>,
    /// Grant what it asks for at the start without asking
    #[arg(long, short)]
    yes: bool,
}

/// What was approved, and runs.
struct Approved {
    instance: Instance,
    asks: Asks,
}

pub fn run(context: &Context, args: &Dev) -> Result<ExitCode, Failure> {
    if chosen().json {
        output::each_line();
    }
    let config = context.config()?;
    let project = Project::open(&args.project)?;
    let (file, sources) = first_build(&project)?;
    let label = shown(&file);
    let component = component::read(&file).map_err(|e| Failure::component(&e, "NAME"))?;
    let manifest = host::describe(&label, &component, context.cache())?;
    if !args.yes {
        let text = describe(&manifest, &component, None, &config.mount);
        // A question stands where a person looks, also beside lines for a program.
        if !chosen().json {
            terminal::print(&text)?;
        }
        let question = format!("Grant this to the provider '{}'?", printable(&manifest.name));
        if !terminal::confirm(&question, "read what it asks for, then give --yes")? {
            return Err(Failure::new("nothing was granted"));
        }
    }
    // The mount leaves the working directory behind.
    let path = args.mount.clone().unwrap_or_else(|| project.directory().join("mnt"));
    let wrong = |e: &std::io::Error| {
        Failure::unwritten(format_args!("cannot make {}", shown(&path)), &path, e)
    };
    let absolute = std::path::absolute(&path).map_err(|e| wrong(&e))?;
    let made = !absolute.exists();
    if made {
        std::fs::create_dir_all(&absolute).map_err(|e| wrong(&e))?;
    }
    let result = mount::options(context, config, &absolute, &[(manifest.name.clone(), file)])
        .and_then(|mut options| {
            options.instances.retain(|instance| instance.name == manifest.name);
            // `omnifs reload` would bring the others.
            options.reread = None;
            let asks = Asks::of(&manifest);
            for instance in &mut options.instances {
                instance.approval = recorded(&component.digest, &asks);
            }
            let Some(instance) = options.instances.first().cloned() else {
                return Err(Failure::new(format!("'{}' is disabled", manifest.name))
                    .hint(format!("omnifs providers enable {}", manifest.name)));
            };
            serve(options, project, sources, Approved { instance, asks }, context.cache())
        });
    if made {
        // Not empty means that something else was put there since.
        let _ = std::fs::remove_dir(&absolute);
    }
    result.map(|()| ExitCode::SUCCESS)
}

/// Builds until that works, and says of which sources.
fn first_build(project: &Project) -> Result<(PathBuf, Sources), Failure> {
    loop {
        let sources = project.sources();
        match project.build(chosen().json) {
            Ok(file) => return Ok((file, sources)),
            Err(Unbuilt::Refused(said)) => tell_unbuilt(&said, "it is built again as it changes"),
            Err(Unbuilt::Failed(failure)) => return Err(failure),
        }
        while project.sources() == sources {
            std::thread::sleep(PACE);
        }
    }
}

fn serve(
    options: omnifs::daemon::Options,
    project: Project,
    sources: Sources,
    approved: Approved,
    cache: &Path,
) -> Result<(), Failure> {
    mount::start_log(&options.log, mount::log_level()?, !chosen().json)?;
    let (stop, stopped) = channel::<()>();
    let building = project.building();
    let cache = cache.to_owned();
    let result = mount::serve(options, |at, mounted| {
        for warning in mounted.warnings.iter().chain(&mounted.credentials) {
            tell("warning", warning, json!({ "event": "warning", "text": warning }));
        }
        let text = format!("mounted at {}; Ctrl-C unmounts", quoted(at));
        tell("note", &text, json!({ "event": "mounted", "mountpoint": at }));
        let swap =
            Swap { daemon: mounted.daemon.clone(), tokio: tokio::runtime::Handle::current() };
        let following = std::thread::Builder::new().name("dev".into());
        let started =
            following.spawn(move || follow(&project, sources, approved, &cache, &swap, &stopped));
        if let Err(error) = started {
            tell("warning", &format!("changes are not followed: {error}"), Value::Null);
        }
    });
    // It is not waited for: it may be asking on the terminal.
    drop(stop);
    building.end();
    result
}

/// How a component gets into the mount.
struct Swap {
    daemon: Arc<dyn Daemon>,
    tokio: tokio::runtime::Handle,
}

impl Swap {
    /// `None`: the mount has ended meanwhile.
    fn swap(&self, instance: Instance) -> Option<Result<(), Refused>> {
        let (daemon, (told, answer)) = (self.daemon.clone(), channel());
        self.tokio.spawn(async move {
            let _ = told.send(daemon.swap(&instance).await);
        });
        answer.recv().ok()
    }
}

/// Until the mount has ended.
fn follow(
    project: &Project,
    mut sources: Sources,
    mut approved: Approved,
    cache: &Path,
    swap: &Swap,
    stopped: &Receiver<()>,
) {
    while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let now = project.sources();
        if now == sources {
            continue;
        }
        sources = now;
        match project.build(chosen().json) {
            Ok(file) => take(&file, &mut approved, cache, swap),
            // It was ended with the mount.
            Err(_) if stopped.try_recv() != Err(TryRecvError::Empty) => return,
            Err(Unbuilt::Refused(said)) => tell_unbuilt(&said, GOES_ON),
            Err(Unbuilt::Failed(failure)) => tell_refused(&failure),
        }
    }
}

const GOES_ON: &str = "the component before goes on";

/// Has the mount run what was built, where that is something new and may run.
fn take(file: &Path, approved: &mut Approved, cache: &Path, swap: &Swap) {
    match judge(file, approved, cache) {
        Ok(Some(next)) => match swap.swap(next.instance.clone()) {
            Some(Ok(())) => {
                let event = json!({ "event": "swapped", "component": digest(&next.instance) });
                *approved = next;
                tell("note", "the new component runs", event);
            }
            Some(Err(refused)) => {
                tell_refused(&Failure::from(omnifs::control::Error::Refused(refused)))
            }
            None => {}
        },
        Ok(None) => {
            let text = "it was built, and the component is the same";
            tell("note", text, json!({ "event": "same" }));
        }
        Err(failure) => tell_refused(&failure),
    }
}

/// `None`: it runs already.
///
/// # Errors
/// It may not run.
fn judge(file: &Path, approved: &Approved, cache: &Path) -> Result<Option<Approved>, Failure> {
    let name = &approved.instance.name;
    let component = component::read(file).map_err(|e| Failure::component(&e, name))?;
    let approval = |asks: &Asks| recorded(&component.digest, asks);
    if approval(&approved.asks) == approved.instance.approval {
        return Ok(None);
    }
    let manifest = host::describe(name, &component, cache)?;
    let asks = Asks::of(&manifest);
    if asks != approved.asks {
        let difference = asks.since(&approved.asks);
        let failure = Failure::new(format!(
            "it asks for something else than was approved: {}",
            difference.join("; ")
        ));
        if !terminal::is_interactive() || chosen().json {
            return Err(failure.hint("to approve it, end this and begin `omnifs dev` again"));
        }
        let lines = difference.iter().map(|line| format!("{}\n", printable(line)));
        terminal::print(&lines.collect::<String>())?;
        if !terminal::confirm("It asks for something else than was approved. Grant this?", "")? {
            return Err(Failure::new("nothing was granted"));
        }
    }
    let instance = Instance { approval: approval(&asks), ..approved.instance.clone() };
    Ok(Some(Approved { instance, asks }))
}

/// These bytes, as long as they ask for this.
fn recorded(component: &str, asks: &Asks) -> Approval {
    Approval::Recorded { component: component.to_owned(), asks: Some(asks.digest()) }
}

fn digest(instance: &Instance) -> Option<&str> {
    match &instance.approval {
        Approval::Recorded { component, .. } => Some(component),
        _ => None,
    }
}

/// A line for people, or an object on a line for programs.
fn tell(kind: &str, text: &str, event: Value) {
    match chosen().json {
        false => terminal::tell(kind, text),
        // Whoever has closed the output goes on mounting.
        true => drop(terminal::write(&format!("{event}\n"))),
    }
}

/// The compiler has said why, to people itself.
fn tell_unbuilt(said: &str, then: &str) {
    let event = json!({ "event": "unbuilt", "text": said });
    tell("warning", &format!("it does not build; {then}"), event);
}

fn tell_refused(failure: &Failure) {
    let Failure { message, hints, .. } = failure;
    let event = json!({ "event": "refused", "message": message, "hints": hints });
    tell("warning", &format!("{message}; {GOES_ON}"), event);
    if !chosen().json {
        hints.iter().for_each(|hint| terminal::tell("hint", hint));
    }
}
