mod login;

pub use login::{Checked, only_endpoint, origin, page, place_logins, shadowed};

use super::failure::{Exit, Failure};
use super::{Context, output, terminal, wait};
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use omnifs::config::{Instance, nearest};
use omnifs::credentials::CredentialStatus;
use omnifs::host::{self, Keeping};
use omnifs::logs::printable;
use omnifs::provider::{Credential, Manifest};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// Log in to the services that providers read
///
/// A credential is looked for in the file that the configuration names, then in the environment,
/// then in the system's keyring. A provider never sees it. The environment's belongs to the service
/// itself: where an instance's endpoint leads elsewhere, other variables are looked into.
#[derive(Debug, Subcommand)]
pub enum Auth {
    Login(login::Login),
    Status(AuthStatus),
    Token(Token),
    Logout(Logout),
}

/// Show where each credential comes from, whose it is, and which are missing or refused
///
/// Asks each service whose the credential is. Where one is missing, cannot be used, is refused or lacks a scope, the
/// exit code is 1. A service that cannot be reached says nothing about its credential. With --json it is a list with
/// an object for each instance.
#[derive(Debug, Args)]
pub struct AuthStatus {
    /// The provider instance [default: all]
    provider: Option<String>,
}

/// Print the secret that a mount would use
///
/// For a script or another program. No other command prints a secret.
#[derive(Debug, Args)]
pub struct Token {
    /// The provider instance
    provider: String,
    /// Which credential, for a provider with several
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
}

/// Forget a credential that `login` has kept
#[derive(Debug, Args)]
pub struct Logout {
    /// The provider instance
    provider: String,
    /// Which credential, for a provider with several
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
}

pub fn run(context: &Context, args: &Auth) -> Result<ExitCode, Failure> {
    match args {
        Auth::Login(args) => login::run(context, args),
        Auth::Token(args) => token(context, args),
        Auth::Status(args) => return status(context, args),
        Auth::Logout(args) => logout(context, args),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The instance with what its component says of itself.
fn described(context: &Context, instance: Instance) -> Result<(Instance, Manifest), Failure> {
    let (_, manifest) = host::described(&instance, context.cache())?;
    Ok((instance, manifest))
}

fn named(context: &Context, provider: &str) -> Result<(Instance, Manifest), Failure> {
    let config = context.config()?;
    described(context, context.instance(&config, provider)?)
}

/// The credential that is meant: the only one, or the one that is named.
fn pick<'a>(
    manifest: &'a Manifest,
    provider: &str,
    wanted: Option<&str>,
) -> Result<&'a Credential, Failure> {
    let names = || manifest.credentials.iter().map(|credential| credential.name.as_str());
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    match (wanted, &manifest.credentials[..]) {
        (_, []) => Err(usage(format!("the provider '{provider}' uses no credential"))),
        (None, [only]) => Ok(only),
        (None, _) => Err(usage(format!("the provider '{provider}' uses several credentials"))
            .hint(format!(
                "name one with --credential: {}",
                names().collect::<Vec<_>>().join(", ")
            ))),
        (Some(wanted), all) => all.iter().find(|c| c.name == wanted).ok_or_else(|| {
            let near = nearest(wanted, names());
            let hint = near.map(|near| format!("did you mean '{near}'?"));
            let hint = hint
                .unwrap_or_else(|| format!("it uses: {}", names().collect::<Vec<_>>().join(", ")));
            usage(format!("the provider '{provider}' uses no credential '{wanted}'")).hint(hint)
        }),
    }
}

fn logout(context: &Context, args: &Logout) -> Result<(), Failure> {
    let (instance, manifest) = named(context, &args.provider)?;
    let credential = pick(&manifest, &instance.name, args.credential.as_deref())?;
    let name = &instance.name;
    if wait(keeping(context, &instance, &manifest, credential).forget())?? {
        terminal::print(&format!("forgot {} for {name}\n", credential.name))
    } else {
        Err(Failure::new(format!("no {} is kept for {name}", credential.name))
            .hint(format!("`omnifs auth status {name}` shows where it comes from")))
    }
}

fn token(context: &Context, args: &Token) -> Result<(), Failure> {
    let (instance, manifest) = named(context, &args.provider)?;
    let credential = pick(&manifest, &instance.name, args.credential.as_deref())?;
    let secret = wait(host::secret(&instance, &manifest, &credential.name))??;
    terminal::print_secret(&secret)
}

/// One credential of an instance, with the directories of this user.
pub fn keeping<'a>(
    context: &'a Context,
    instance: &'a Instance,
    manifest: &'a Manifest,
    credential: &'a Credential,
) -> Keeping<'a> {
    Keeping { instance, manifest, credential: &credential.name, paths: &context.paths }
}

/// One instance.
#[derive(Debug, Serialize)]
struct Row {
    provider: String,
    /// What keeps it from being looked at.
    problem: Option<String>,
    credentials: Vec<CredentialStatus>,
}

fn status(context: &Context, args: &AuthStatus) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let instances = match &args.provider {
        Some(name) => vec![context.instance(&config, name)?],
        None => context.instances(&config, &[])?.into_iter().filter(|i| i.enabled).collect(),
    };
    let names: Vec<_> = instances.iter().map(|instance| instance.name.clone()).collect();
    let described: Vec<_> = instances.into_iter().map(|i| described(context, i)).collect();
    let asking = described.into_iter().map(async |found| {
        let (instance, manifest) = found?;
        Ok::<_, Failure>(host::ask_whose(&instance, &manifest).await?)
    });
    let answers = wait(join_all(asking))?;
    let row = |(provider, answer): (String, Result<_, Failure>)| match answer {
        Ok(credentials) => Row { provider, problem: None, credentials },
        Err(failure) => Row { provider, problem: Some(failure.message), credentials: Vec::new() },
    };
    let rows: Vec<_> = names.into_iter().zip(answers).map(row).collect();
    let text = if output::chosen().json {
        let json = serde_json::to_string_pretty(&rows);
        json.map_err(|e| Failure::new(format!("cannot write JSON: {e}")))? + "\n"
    } else {
        rows.iter().map(shown).collect()
    };
    terminal::print(&text)?;
    let bad =
        |row: &Row| row.problem.is_some() || row.credentials.iter().any(CredentialStatus::is_bad);
    Ok(if rows.iter().any(bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn shown(row: &Row) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{}", printable(&line));
    };
    let provider = &row.provider;
    match &row.problem {
        Some(problem) => line(format!("{provider}: {problem}")),
        None if row.credentials.is_empty() => line(format!("{provider}: uses no credential")),
        None => {}
    }
    for credential in &row.credentials {
        line(format!("{provider}: {}", credential.summary()));
        if let Some(detail) = &credential.detail {
            line(format!("  {detail}"));
        }
        for scope in &credential.lacks {
            line(format!("  it lacks {scope}"));
        }
    }
    text
}
