use super::super::failure::{Exit, Failure};
use super::super::{Context, terminal};
use clap::Args;
use omnifs::component;
use omnifs::config::{Approval, EndpointConfig, Instance, InstanceConfig, Source, valid_name};
use omnifs::host::{self, Checked, How, Tried, some};
use omnifs::logs::printable;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Try a file that declares a service: ask the service twice, and say what differs
///
/// Each list is asked for twice, and a few of its objects by themselves, with at most 200 requests. What
/// differs between two answers to one request moves by itself and is no content to keep; what differs between a list and an
/// object's own answer belongs under `details`. Files that are empty, names that several objects have and
/// what is left out are told too. The service is where the configuration says. It gets no credential unless you say
/// so: nobody has approved the file. The exit code is 1 where something moved or was not answered.
#[derive(Debug, Args)]
pub struct Check {
    /// A .toml file that declares a service, or the name of one that ships with omnifs
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// Where the service is, in place of what the file and the configuration say
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Send the credentials that the file names, as a mount of the instance --name would; `omnifs providers info FILE`
    /// shows which
    #[arg(long, requires = "name")]
    with_credential: bool,
    /// The instance whose configuration counts [default: the file's own name]
    #[arg(long)]
    name: Option<String>,
}

pub fn run(context: &Context, args: &Check) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let component = component::read_or_shipped(&args.file);
    let component = component.map_err(|e| Failure::component(&e, "NAME"))?;
    if !component.is_declared {
        return Err(Failure::new("this is no file that declares a service")
            .hint("docs/providers/rest.md says what is in one")
            .exit(Exit::Usage));
    }
    let shown = super::super::shown(&args.file);
    let manifest = host::describe(&shown, &component, context.cache())?;
    let name = args.name.clone().unwrap_or_else(|| manifest.name.clone());
    if !valid_name(&name) {
        return Err(omnifs::config::Error::Name { name }.into());
    }
    let mut own = config.written.get(&name).cloned().unwrap_or_default();
    place(&mut own, &manifest.endpoints, args.endpoint.as_deref());
    let instance = Instance {
        name,
        source: Source::File(args.file.clone()),
        approval: Approval::Flag,
        enabled: true,
        config: own,
        egress: config.egress.clone(),
    };
    let how = How { with_credential: args.with_credential, limits: &config.limits };
    let checking = host::check(&instance, &component, how, context.cache());
    let checked = super::super::wait(checking)??;
    let json = serde_json::to_value(&checked);
    let json = json.map_err(|e| Failure::new(format!("cannot write JSON: {e}")))?;
    terminal::show(&text(&checked), json)?;
    Ok(if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has all endpoints be at this URL. A declared service has one.
fn place(config: &mut InstanceConfig, endpoints: &[omnifs::provider::Endpoint], url: Option<&str>) {
    let Some(url) = url else { return };
    for endpoint in endpoints {
        let placed = config.endpoints.entry(endpoint.name.clone()).or_default();
        *placed = EndpointConfig { url: Some(url.to_owned()), ..placed.clone() };
    }
}

/// A line for each path, and below it what is to be said of it.
fn text(checked: &Checked) -> String {
    let mut text = String::new();
    let mut line = |content: String| {
        let _ = writeln!(text, "{}", printable(&content));
    };
    for tried in &checked.paths {
        let count = tried.objects;
        let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
        line(format!("{}: {objects} at {}/", tried.pattern, tried.at));
        findings(tried).into_iter().for_each(|finding| line(format!("  {finding}")));
    }
    let end = match checked.is_good() {
        true => "nothing moved",
        false => "see docs/providers/rest.md for what to do about what differs",
    };
    line(format!("{} requests to {}: {end}", checked.requests, checked.url));
    text
}

fn findings(tried: &Tried) -> Vec<String> {
    let mut found: Vec<String> =
        tried.failures.iter().map(|failure| format!("failed: {failure}")).collect();
    for (names, what) in [(&tried.came, "only"), (&tried.gone, "no more")] {
        if !names.is_empty() {
            found.push(format!("{what} in the second list: {}", some(names)));
        }
    }
    for (name, leaf) in &tried.leaves {
        let example = leaf.example.as_deref().unwrap_or_default();
        if leaf.moved > 0 {
            let (moved, seen) = (leaf.moved, leaf.seen);
            found.push(format!("{name} moved between two answers in {moved} of {seen}: {example}"));
        }
        if leaf.differs > 0 {
            let differs = leaf.differs;
            found.push(format!(
                "{name} differs between the list and the object's own answer in {differs}: {example}"
            ));
        }
        if leaf.empty > 0 {
            let (empty, seen) = (leaf.empty, leaf.seen);
            found.push(format!("{name} is null, not there or an empty list in {empty} of {seen}"));
        }
    }
    if !tried.collided.is_empty() {
        found.push(format!("several objects have the name: {}", some(&tried.collided)));
    }
    found.extend(tried.notes.iter().map(|note| format!("note: {note}")));
    found
}
