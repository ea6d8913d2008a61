use super::failure::{Exit, Failure};
use super::{Context, terminal, wait};
use clap::{Args, Subcommand};
use omnifs::component;
use omnifs::config::{Instance, nearest};
use omnifs::host::{self, LoginStep};
use omnifs::logs::printable;
use omnifs::provider::{Credential, Manifest};
use std::fmt::Write;
use std::process::ExitCode;

/// Log in to the services that providers read
///
/// A credential is looked for in the file that the configuration names, then in the environment,
/// then in the system's keyring. A provider never sees it.
#[derive(Debug, Subcommand)]
pub enum Auth {
    Login(Login),
    Status(AuthStatus),
    Logout(Logout),
}

/// Get a credential and keep it in the system's keyring
#[derive(Debug, Args)]
pub struct Login {
    /// The provider instance
    provider: String,
    /// Which credential, for a provider with several
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// Read a token or API key from standard input, in place of a login in the browser
    #[arg(long)]
    with_token: bool,
    /// The OAuth application to log in with, in place of the provider's own
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// Show where each credential comes from, and which are missing
#[derive(Debug, Args)]
pub struct AuthStatus {
    /// The provider instance [default: all]
    provider: Option<String>,
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
        Auth::Login(args) => login(context, args),
        Auth::Status(args) => return status(context, args),
        Auth::Logout(args) => logout(context, args),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The instance with what its component says of itself.
fn described(context: &Context, instance: Instance) -> Result<(Instance, Manifest), Failure> {
    let found = component::find(&instance, host::shipped())
        .map_err(|e| Failure::component(&e, &instance.name))?;
    let manifest = host::describe(&instance.name, &found, &context.paths.cache)?;
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

fn login(context: &Context, args: &Login) -> Result<(), Failure> {
    let (instance, manifest) = named(context, &args.provider)?;
    let credential = pick(&manifest, &instance.name, args.credential.as_deref())?;
    let kept = if args.with_token {
        let secret = terminal::secret(&format!("{} for {}", credential.name, instance.name))?;
        wait(host::keep(&instance, &credential.name, secret))??
    } else if credential.oauth.is_some() {
        let client = args.client_id.as_deref();
        let mut show = |step: LoginStep| match step {
            LoginStep::Open(url) => terminal::tell("open in a browser", &url),
            LoginStep::Enter { url, code } => {
                terminal::tell("open in a browser", &url);
                terminal::tell("and enter the code", &code);
            }
        };
        wait(host::login(&instance, &manifest, &credential.name, client, &mut show))??
    } else {
        return Err(Failure::new(format!("'{}' has no login in the browser", instance.name))
            .hint(format!("make a token at {}", printable(&credential.help_url)))
            .hint(format!("then: omnifs auth login {} --with-token", instance.name))
            .exit(Exit::Usage));
    };
    terminal::print(&format!(
        "kept {} for {} in {}\n",
        credential.name,
        instance.name,
        printable(&kept)
    ))
}

fn logout(context: &Context, args: &Logout) -> Result<(), Failure> {
    let (instance, manifest) = named(context, &args.provider)?;
    let credential = pick(&manifest, &instance.name, args.credential.as_deref())?;
    let name = &instance.name;
    if wait(host::logout(&instance, &credential.name))?? {
        terminal::print(&format!("forgot {} for {name}\n", credential.name))
    } else {
        Err(Failure::new(format!("no {} is kept for {name}", credential.name))
            .hint(format!("`omnifs auth status {name}` shows where it comes from")))
    }
}

/// Exit code 1 where an enabled instance lacks a credential.
fn status(context: &Context, args: &AuthStatus) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let instances = match &args.provider {
        Some(name) => vec![context.instance(&config, name)?],
        None => context.instances(&config, &[])?.into_iter().filter(|i| i.enabled).collect(),
    };
    let (mut text, mut good) = (String::new(), true);
    for instance in instances {
        let name = instance.name.clone();
        let answer = described(context, instance)
            .and_then(|(instance, manifest)| Ok(wait(host::credentials(&instance, &manifest))??));
        match answer {
            Err(failure) => {
                good = false;
                let _ = writeln!(text, "{name}: {}", printable(&failure.message));
            }
            Ok(credentials) if credentials.is_empty() => {
                let _ = writeln!(text, "{name}: uses no credential");
            }
            Ok(credentials) => {
                for credential in credentials {
                    let source = credential.source.as_deref().unwrap_or("none");
                    let _ =
                        writeln!(text, "{name}: {} from {}", credential.name, printable(source));
                    if let Some(problem) = &credential.problem {
                        good = false;
                        let _ = writeln!(text, "  {}", printable(problem));
                    }
                }
            }
        }
    }
    terminal::print(&text)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
