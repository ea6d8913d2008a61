use super::super::failure::{Exit, Failure};
use super::super::{Context, terminal, wait};
use super::{described, keeping, named, pick};
use clap::Args;
use omnifs::config::{Instance, InstanceConfig, Source, valid_name};
use omnifs::credentials::{CredentialState, CredentialStatus, Secret};
use omnifs::host::{self, Keeping, LoginStep};
use omnifs::logs::printable;
use omnifs::nearby::{self, Machine};
use omnifs::provider::{Credential, Manifest};
use std::path::PathBuf;
use url::Url;

/// Get a credential, ask the service whose it is, and keep it
///
/// In the system's keyring, or, where there is none, in a file of mode 0600 that the configuration names. What is
/// there is tried in this order: the login of another program, after a question; a login in the browser with an
/// OAuth application of yours (--client-id, or client-id in the configuration); a token that you make by hand.
#[derive(Debug, Args)]
pub struct Login {
    /// The provider instance
    provider: String,
    /// Which credential, for a provider with several
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// Read a token or API key from standard input
    #[arg(long, conflicts_with_all = ["token_file", "client_id"])]
    with_token: bool,
    /// Read a token or API key from FILE
    #[arg(long, value_name = "FILE", conflicts_with = "client_id")]
    token_file: Option<PathBuf>,
    /// The OAuth application to log in with in the browser
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Make a new instance of the provider NAME, for a second account
    #[arg(long = "provider", value_name = "NAME")]
    new_of: Option<String>,
    /// Where the new instance has its service: a server of a company
    #[arg(long, value_name = "URL", requires = "new_of")]
    url: Option<String>,
    /// Take the login of another program without a question
    #[arg(long, short)]
    yes: bool,
    /// Keep what the service could not be asked about
    #[arg(long)]
    unchecked: bool,
}

pub fn run(context: &Context, args: &Login) -> Result<(), Failure> {
    let (instance, manifest) = match &args.new_of {
        None => named(context, &args.provider)?,
        Some(provider) => new_instance(context, args, provider)?,
    };
    let credential = pick(&manifest, &instance.name, args.credential.as_deref())?;
    let keeping = keeping(context, &instance, &manifest, credential);
    // Before a secret is typed, issued or printed by another program.
    let store = wait(keeping.store())??;
    let secret = match obtained(args, &keeping, credential)? {
        Some(secret) => secret,
        None => browser(args, &keeping, &store)?,
    };
    let checked = Checked::by_service(&keeping, credential, secret, args.unchecked)?;
    if let Some(provider) = instance.config.provider.as_ref().filter(|_| args.new_of.is_some()) {
        host::edit(&context.paths.config, |editor| {
            editor.provider(&instance.name, provider);
            for (name, endpoint) in &instance.config.endpoints {
                endpoint.url.iter().for_each(|url| editor.endpoint(&instance.name, name, url));
            }
        })?;
    }
    wait(keeping.keep(&store, &checked.secret))??;
    let (name, at) = (&instance.name, store.place.to_string());
    let text = format!("kept {} for {name} in {at}{}", credential.name, checked.whose());
    terminal::print(&format!("{}\n", printable(&text)))?;
    checked.warn();
    shadowed(context, name, credential, &store.place)
}

/// An instance that the configuration does not have yet.
fn new_instance(
    context: &Context,
    args: &Login,
    provider: &str,
) -> Result<(Instance, Manifest), Failure> {
    let name = &args.provider;
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    let config = context.config()?;
    let base = context.instance(&config, provider)?;
    if !valid_name(name) {
        return Err(usage(format!("'{name}' cannot name an instance"))
            .hint("a name has 1 to 63 lower-case letters, digits and '-'"));
    }
    if context.instances(&config, &[])?.iter().any(|instance| instance.name == *name) {
        return Err(usage(format!("there is an instance '{name}' already"))
            .hint(format!("without --provider: omnifs auth login {name}")));
    }
    let Source::Shipped(of) = &base.source else {
        return Err(usage(format!("'{provider}' is no provider that ships with omnifs"))
            .hint("add its component under another name: omnifs providers add FILE --name NAME"));
    };
    let config = InstanceConfig { provider: Some(of.clone()), ..InstanceConfig::default() };
    let new = Instance { name: name.to_owned(), config, enabled: true, ..base };
    let (mut instance, manifest) = described(context, new)?;
    if let Some(url) = &args.url {
        let endpoint = only_endpoint(&manifest, name)?;
        instance.config.endpoints.entry(endpoint.to_owned()).or_default().url = Some(url.clone());
    }
    Ok((instance, manifest))
}

/// The endpoint that is meant where one is to be placed.
pub fn only_endpoint<'a>(manifest: &'a Manifest, instance: &str) -> Result<&'a str, Failure> {
    let names: Vec<_> = manifest.endpoints.iter().map(|e| e.name.as_str()).collect();
    match names[..] {
        [only] => Ok(only),
        _ => Err(Failure::new(format!("--url {instance}: of which endpoint?"))
            .hint(format!("write endpoints.NAME into the file: {}", names.join(", ")))
            .exit(Exit::Usage)),
    }
}

/// The secret from where the user says, or from another program. `None`: by a login in the browser.
fn obtained(
    args: &Login,
    keeping: &Keeping<'_>,
    credential: &Credential,
) -> Result<Option<Secret>, Failure> {
    let instance = &keeping.instance.name;
    let prompt = format!("{} for {instance}", credential.name);
    if let Some(file) = &args.token_file {
        return terminal::secret_file(file).map(Some);
    }
    if args.with_token {
        return terminal::secret(&prompt).map(Some);
    }
    let (browser, registered) = keeping.browser_login()?;
    let client = client_id(args, keeping).is_some();
    // Who names an application on the command line has chosen the browser.
    if args.client_id.is_none() {
        for login in place_logins(keeping, credential, &Machine::of_user())? {
            let question = format!("take the login of {}", login.described());
            if args.yes || terminal::is_interactive() && terminal::asked(&question)? {
                return Ok(Some(login.secret().map_err(|e| Failure::new(e.to_string()))?));
            }
        }
    }
    if browser && (client || registered) {
        return Ok(None);
    }
    let page = page(keeping, credential)?;
    if !terminal::is_interactive() {
        let failure = match client {
            // Says why there is none.
            true => return Ok(None),
            false => Failure::new(format!("there is no terminal to ask for a token of {instance}")),
        };
        return Err(failure
            .hint(format!("make one at {}", printable(&page)))
            .hint(format!("then: omnifs auth login {instance} --with-token <FILE"))
            .exit(Exit::Usage));
    }
    if client {
        return Ok(None);
    }
    terminal::tell("make a token at", &page);
    terminal::secret(&prompt).map(Some)
}

fn client_id<'a>(args: &'a Login, keeping: &Keeping<'a>) -> Option<&'a str> {
    args.client_id.as_deref().or(keeping.instance.config.client_id.as_deref())
}

fn browser(args: &Login, keeping: &Keeping<'_>, store: &host::Ready) -> Result<Secret, Failure> {
    let mut show = |step: LoginStep| match step {
        LoginStep::Open(url) => terminal::tell("open in a browser", &url),
        LoginStep::Enter { url, code } => {
            terminal::tell("open in a browser", &url);
            terminal::tell("and enter the code", &code);
        }
    };
    Ok(wait(keeping.login(store, client_id(args, keeping), &mut show))??)
}

/// Where a user makes a secret by hand.
pub fn page(keeping: &Keeping<'_>, credential: &Credential) -> Result<String, Failure> {
    Ok(match keeping.elsewhere()?.first() {
        // The manifest names the page of the service itself.
        Some(place) => place.origin.clone(),
        None => credential.help_url.clone(),
    })
}

/// The logins of other programs for the place where the instance's endpoints are.
pub fn place_logins(
    keeping: &Keeping<'_>,
    credential: &Credential,
    machine: &Machine,
) -> Result<Vec<nearby::Login>, Failure> {
    let elsewhere = keeping.elsewhere()?;
    let mut logins = machine.logins(keeping.instance, &credential.logins);
    logins.retain(|login| match (&login.endpoint, &elsewhere[..]) {
        (None, []) => true,
        (Some((_, url)), [only]) => origin(url).as_ref() == Some(&only.origin),
        _ => false,
    });
    Ok(logins)
}

/// Scheme, host and port.
pub fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// A secret that the service was asked about.
pub struct Checked {
    pub secret: Secret,
    status: CredentialStatus,
}

impl Checked {
    /// Asks the service.
    ///
    /// # Errors
    /// It refuses the secret, or, unless that is allowed, could not be asked.
    pub fn by_service(
        keeping: &Keeping<'_>,
        credential: &Credential,
        secret: Secret,
        unchecked: bool,
    ) -> Result<Checked, Failure> {
        let name = &keeping.instance.name;
        let asking = host::examine(keeping.instance, keeping.manifest, keeping.credential, &secret);
        let status = wait(asking)??;
        let detail = || status.detail.clone().unwrap_or_default();
        match status.state {
            CredentialState::Accepted => {}
            CredentialState::Refused => {
                return Err(Failure::new(format!(
                    "{name} does not accept this token; it is not kept"
                ))
                .hint(format!("make another one at {}", page(keeping, credential)?)));
            }
            CredentialState::Unknown if unchecked || credential.whose.is_none() => {}
            CredentialState::Unknown => {
                return Err(Failure::new(format!("{name}: {}; the token is not kept", detail()))
                    .hint("--unchecked keeps a token that the service could not be asked about"));
            }
            CredentialState::Unusable | CredentialState::Missing => {
                return Err(Failure::new(format!("this token cannot be used: {}", detail())));
            }
        }
        Ok(Checked { secret, status })
    }

    /// `, of mira`.
    pub fn whose(&self) -> String {
        self.status.owner.as_ref().map(|owner| format!(", of {owner}")).unwrap_or_default()
    }

    /// Says what it lacks.
    pub fn warn(&self) {
        for scope in &self.status.lacks {
            terminal::tell("warning", &format!("it lacks {scope}"));
        }
        if self.status.state == CredentialState::Unknown {
            terminal::tell("warning", "the service was not asked about it");
        }
    }
}

/// Says so where a mount would use another secret than the one that was just kept.
pub fn shadowed(
    context: &Context,
    instance: &str,
    credential: &Credential,
    kept: &host::Store,
) -> Result<(), Failure> {
    let (instance, manifest) = named(context, instance)?;
    let all = wait(host::credentials(&instance, &manifest))??;
    let used = all.into_iter().find(|status| status.name == credential.name);
    let source = used.and_then(|status| status.source);
    let expected = match kept {
        host::Store::Keyring => "the system keyring".to_owned(),
        host::Store::File(file) => format!("file {}", file.display()),
    };
    if let Some(source) = source.filter(|source| *source != expected) {
        terminal::tell("warning", &format!("the one from {source} comes first, and is used"));
    }
    Ok(())
}
