use super::super::failure::Failure;
use super::super::{Context, output, terminal};
use clap::Args;
use omnifs::config::{Instance, Source};
use omnifs::logs::printable;
use omnifs::{approval, component, declaration, host};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// List the provider instances that a mount shows, and what else ships
#[derive(Debug, Args)]
pub struct List {}

const DISABLED: &str = "disabled";

/// A row of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// `shipped NAME`, or the component's path.
    source: String,
    /// `mounted`, `disabled`, `not approved`, `changed`, `broken`; `on demand` of one that ships and of which the
    /// configuration names no instance; and `declared` of one that ships as a file which declares a service and
    /// that nobody has added.
    state: &'static str,
    /// The component's name and version.
    component: Option<String>,
    /// What the component says of itself, or why it cannot be used.
    summary: String,
    hint: Option<String>,
}

pub fn run(context: &Context, _: &List) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let instances = context.instances(&config, &[])?;
    let mut rows: Vec<_> = instances.iter().map(|instance| row(context, instance)).collect();
    let added = |name: &str| instances.iter().any(|instance| instance.name == name);
    rows.extend(host::on_demand().filter(|(name, _)| !added(name)).map(on_demand));
    rows.extend(declaration::shipped().iter().filter(|spec| !added(spec.name)).map(declared));
    let text = if output::chosen().json {
        let json = serde_json::to_string_pretty(&rows);
        json.map_err(|e| Failure::new(format!("cannot write JSON: {e}")))? + "\n"
    } else if rows.is_empty() {
        "no provider is shipped with this build or added\n".into()
    } else {
        table(&rows)
    };
    terminal::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl Row {
    fn refused(self, error: &component::Error) -> Row {
        let state = match error {
            component::Error::Unapproved(_) => "not approved",
            component::Error::Changed(_) | component::Error::AsksElse { .. } => "changed",
            _ => "broken",
        };
        let hint = error.hint(&self.name);
        self.fails(state, error.to_string(), hint)
    }

    /// Why it cannot be used. One that is switched off need not work, and there is nothing to do about it.
    fn fails(mut self, state: &'static str, summary: String, hint: Option<String>) -> Row {
        self.summary = summary;
        if self.state != DISABLED {
            (self.state, self.hint) = (state, hint);
        }
        self
    }
}

/// A provider that a mount shows once the configuration names an instance of it.
fn on_demand((name, summary): (&str, &str)) -> Row {
    Row {
        name: name.to_owned(),
        source: format!("shipped {name}"),
        state: "on demand",
        component: None,
        summary: summary.to_owned(),
        hint: None,
    }
}

/// A service that ships as a file, and that a mount shows once it is added.
fn declared(spec: &declaration::Shipped) -> Row {
    Row {
        name: spec.name.to_owned(),
        source: format!("shipped {}.toml", spec.name),
        state: "declared",
        component: None,
        summary: spec.summary.to_owned(),
        hint: None,
    }
}

fn row(context: &Context, instance: &Instance) -> Row {
    let source = match &instance.source {
        Source::Shipped(name) => format!("shipped {name}"),
        Source::File(path) => path.to_string_lossy().into_owned(),
        Source::Missing { name, .. } => format!("missing {name}"),
    };
    let mut row = Row {
        name: instance.name.clone(),
        source,
        state: if instance.enabled { "mounted" } else { DISABLED },
        component: None,
        summary: String::new(),
        hint: None,
    };
    let described = match component::approved(instance, host::shipped()) {
        Ok(found) => host::describe(&instance.name, &found, context.cache()),
        Err(error) => return row.refused(&error),
    };
    match described {
        Ok(manifest) => {
            if let Err(error) = approval::bind(instance, &manifest) {
                return row.refused(&error);
            }
            row.component = Some(format!("{} {}", manifest.name, manifest.version));
            row.summary = manifest.summary;
        }
        Err(refused) => return row.fails("broken", refused.message, refused.hint),
    }
    row
}

fn table(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
    let (names, states) = (width(|row| &row.name), width(|row| row.state));
    let mut text = String::new();
    for row in rows {
        let component = row.component.as_deref().map(|c| format!("{c}: ")).unwrap_or_default();
        let line =
            format!("{:names$}  {:states$}  {component}{}", row.name, row.state, row.summary);
        let _ = writeln!(text, "{}", printable(&line));
        if let Some(hint) = &row.hint {
            let _ = writeln!(text, "{:1$}  {2}", "", names + states + 2, printable(hint));
        }
    }
    text
}
