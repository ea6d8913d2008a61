use super::super::failure::Failure;
use super::super::{Context, terminal};
use clap::Args;
use omnifs::approval;
use omnifs::component::{self, Component};
use omnifs::config::{Config, Instance, Mount};
use omnifs::credentials::Elsewhere;
use omnifs::host;
use omnifs::logs::printable;
use omnifs::provider::{Endpoint, FeedKind, Manifest, Method, ParameterKind, Scheme};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Show everything that a provider asks for
///
/// Its endpoints with each kind of request it may make there, the credentials that the host adds
/// to them, its event feeds and its settings. A provider can reach nothing else.
#[derive(Debug, Args)]
pub struct Info {
    /// An instance, a component's file, or the name of a declared service that ships
    #[arg(value_name = "NAME|FILE")]
    name: String,
}

pub fn run(context: &Context, args: &Info) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let (name, found, instance) = if args.name.ends_with(".wasm")
        || args.name.ends_with(".toml")
        || args.name.contains('/')
    {
        let found = component::read(Path::new(&args.name));
        (args.name.clone(), found.map_err(|e| Failure::component(&e, "NAME"))?, None)
    } else if let Some(found) = unadded(context, &config, &args.name)? {
        (args.name.clone(), found, None)
    } else {
        let instance = context.instance(&config, &args.name)?;
        let found = component::find(&instance, host::shipped());
        let found = found.map_err(|e| Failure::component(&e, &instance.name))?;
        (args.name.clone(), found, Some(instance))
    };
    let manifest = host::describe(&name, &found, context.cache())?;
    let elsewhere = instance.as_ref().map(|i| host::elsewhere(i, &manifest)).transpose()?;
    let here = instance.as_ref().zip(elsewhere.as_ref());
    terminal::print(&describe(&manifest, &found, here, &config.mount))?;
    Ok(ExitCode::SUCCESS)
}

/// The component of a declared service that ships, where no instance has its name.
fn unadded(context: &Context, config: &Config, name: &str) -> Result<Option<Component>, Failure> {
    let instances = context.instances(config, &[])?;
    if instances.iter().any(|instance| instance.name == name) {
        return Ok(None);
    }
    let found = component::shipped(name).transpose();
    found.map_err(|e| Failure::component(&e, name))
}

type Here<'a> = (&'a Instance, &'a HashMap<String, Vec<Elsewhere>>);

/// What a user approves, as text. What the component wrote is made printable.
/// `here`: an instance, and by credential those of its endpoints that lead elsewhere.
pub fn describe(
    manifest: &Manifest,
    component: &Component,
    here: Option<Here<'_>>,
    mount: &Mount,
) -> String {
    let mut text = String::new();
    let mut line = |indent: usize, content: String| {
        let _ = writeln!(text, "{:indent$}{}", "", printable(&content));
    };
    let instance = here.map(|(instance, _)| instance);
    let config = instance.map(|instance| &instance.config);
    line(0, format!("{} {}: {}", manifest.name, manifest.version, manifest.summary));
    line(0, component.digest.clone());
    if let Some(instance) = instance {
        let approved = component::approve(instance, component)
            .and_then(|()| approval::bind(instance, manifest));
        let state = approved.map_or_else(|error| error.to_string(), |()| "approved".into());
        line(0, format!("instance {}: {state}", instance.name));
    }

    line(0, "it may reach".into());
    if manifest.endpoints.is_empty() {
        line(2, "nothing".into());
    }
    for endpoint in &manifest.endpoints {
        line(2, format!("{} at {}: {}", endpoint.name, endpoint.default_url, endpoint.purpose));
        if let Some(variable) = &endpoint.url_environment {
            line(4, format!("elsewhere where {variable} says so"));
        }
        let placed = config.and_then(|c| c.endpoints.get(&endpoint.name)?.url.as_ref());
        if let Some(url) = placed {
            let url = omnifs::capability::shown(url);
            line(4, format!("here at {url}, as the configuration says"));
        }
        for (method, path) in &endpoint.allow {
            line(4, format!("{} {path}", word(*method)));
        }
        for statement in &endpoint.statements {
            line(4, format!("{}: {}", statement.name, statement.text));
            for parameter in &statement.parameters {
                let meaning = match parameter.kind {
                    ParameterKind::Value => "a value",
                    ParameterKind::Integer => "a number",
                    ParameterKind::Text => "a text",
                    ParameterKind::Identifier => {
                        "the name of a schema, table or column that exists"
                    }
                };
                line(6, format!("{{{}}} is {meaning}", parameter.name));
            }
        }
        for (word, meaning) in open_parts(endpoint) {
            line(6, format!("{word} is {meaning}"));
        }
        if let Some(bodies) = &endpoint.bodies {
            let values = bodies.values.join(", ");
            line(6, format!("a POST says one of these as its {}: {values}", bodies.member));
        }
        for credential in &endpoint.credentials {
            line(4, format!("the host adds the credential {credential}"));
        }
        if let Some(session) = &endpoint.session {
            let header = &session.header;
            line(4, format!("the host keeps the session that the service names in {header}"));
        }
        for host in &endpoint.redirect_hosts {
            line(4, format!("redirects may lead to {host}, without the credential"));
        }
        if let Some(nearby) = &endpoint.nearby {
            let sockets = nearby.sockets.join(", ");
            let files = nearby.contexts.as_ref().map(|contexts| contexts.files.join(", "));
            let files = files.map(|f| format!(", and for addresses in {f}")).unwrap_or_default();
            line(4, format!("`omnifs setup` looks for it at {sockets}{files}"));
        }
    }

    if !manifest.credentials.is_empty() {
        line(0, "credentials, which it never sees".into());
    }
    for credential in &manifest.credentials {
        line(2, credential.name.clone());
        if !credential.environment.is_empty() {
            line(4, format!("from the environment: {}", credential.environment.join(", ")));
        }
        let own = &credential.environment_elsewhere;
        if !own.is_empty() {
            let own = own.join(", ");
            line(4, format!("from the environment where an endpoint leads elsewhere: {own}"));
        }
        let moved = here.and_then(|(_, elsewhere)| elsewhere.get(&credential.name)?.first());
        if let Some(Elsewhere { endpoint, origin }) = moved {
            let unused = match &credential.environment[..] {
                [] => String::new(),
                all => format!("{} not used: ", all.join(", ")),
            };
            line(4, format!("here {unused}the endpoint {endpoint} is at {origin}"));
        }
        if let Scheme::Challenge { hosts } = &credential.scheme {
            line(4, "sent as the service asks for it, to itself or for a token".into());
            for host in hosts {
                line(6, format!("{host} may give the token, and gets the credential"));
            }
        }
        if let Some(oauth) = &credential.oauth {
            line(4, format!("by login, for: {}", oauth.scopes.join(" ")));
            let lasting = "and later each refresh token";
            match &oauth.device_url {
                Some(url) => {
                    line(
                        6,
                        format!("{url} is asked for a code, and names the page to enter it at"),
                    );
                    line(6, format!("{} gets the device code, {lasting}", oauth.token_url));
                }
                None => {
                    line(6, format!("{} is opened in the browser", oauth.authorize_url));
                    line(6, format!("{} gets the login's code, {lasting}", oauth.token_url));
                }
            }
            if oauth.elsewhere {
                let there = "the login is at the same paths there";
                line(6, format!("where the endpoint leads elsewhere, {there}"));
            }
        }
        for scope in credential.scopes.iter().flat_map(|scopes| &scopes.needed) {
            line(4, format!("it needs {}: {}", scope.name, scope.purpose));
        }
        for login in &credential.logins {
            let command = format!("`{} {}`", login.program, login.arguments.join(" "));
            let files = login.files.join(", ");
            let program = &login.program;
            line(
                4,
                format!("from the login of {program}, after a question: {command}, or {files}"),
            );
        }
        if !credential.help_url.is_empty() {
            line(4, format!("made by hand at {}", credential.help_url));
        }
    }

    if !manifest.feeds.is_empty() {
        line(0, "event feeds".into());
    }
    for feed in &manifest.feeds {
        let kind = match feed.kind {
            FeedKind::Push => "a stream held open",
            FeedKind::Poll => "polled",
            FeedKind::Webhook => "webhooks",
        };
        let endpoint = feed.endpoint.as_ref().map(|e| format!(" at {e}")).unwrap_or_default();
        line(2, format!("{}: {kind}{endpoint}, for scopes {}*", feed.name, feed.scopes));
        if feed.kind == FeedKind::Webhook {
            let name = instance.map_or(manifest.name.as_str(), |instance| &instance.name);
            let public = mount.webhook_url.as_deref();
            let listen = mount.webhook_listen.map(|address| address.to_string());
            let address = host::webhook_address(listen.as_deref().unwrap_or("ADDR"), public, name);
            line(
                4,
                match listen {
                    Some(_) => format!("enter {address} at the service"),
                    None => format!("with --webhook-listen ADDR; enter {address} at the service"),
                },
            );
        }
    }

    if !manifest.config.is_empty() {
        line(0, "settings".into());
    }
    for key in &manifest.config {
        let set = config.and_then(|c| c.settings.get(&key.name));
        let value = match (set, &key.default) {
            (Some(value), _) => format!(" = {value}"),
            (None, Some(default)) => format!(" [default: {default}]"),
            (None, None) => String::new(),
        };
        line(2, format!("{}{value}: {}", key.name, key.description));
    }
    text
}

/// The words of its path rules that stand for more than themselves.
fn open_parts(endpoint: &Endpoint) -> Vec<(&'static str, &'static str)> {
    let words = [
        ("*", "one part of a path"),
        ("*%2F*", "one part of a path, or several where the service reads %2F as a slash"),
        ("**", "any further parts of a path"),
    ];
    let used =
        |word: &str| endpoint.allow.iter().any(|(_, p)| p.split('/').any(|part| part == word));
    words.into_iter().filter(|(word, _)| used(word)).collect()
}

fn word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs::config::Config;
    use omnifs::provider::{
        Bodies, Contexts, Credential, Feed, Nearby, OAuth, OtherLogin, Scope, Scopes, Session,
    };

    #[test]
    fn every_capability_is_shown_and_nothing_acts_on_the_terminal() {
        let endpoint = Endpoint {
            name: "api".into(),
            default_url: "https://api.example".into(),
            url_environment: Some("EXAMPLE_HOST".into()),
            allow: vec![
                (Method::Get, "/items/**".into()),
                (Method::Get, "/refs/*%2F*".into()),
                (Method::Post, "/graphql".into()),
            ],
            credentials: vec!["token".into()],
            redirect_hosts: vec!["logs.example".into()],
            purpose: "reads items\u{1b}]0;\u{7}".into(),
            nearby: Some(Nearby {
                contexts: Some(Contexts {
                    files: vec!["~/x/*.json".into()],
                    ..Contexts::default()
                }),
                sockets: vec!["unix://$RUN/x.sock".into()],
            }),
            bodies: Some(Bodies {
                member: "method".into(),
                values: vec!["begin".into(), "list".into()],
            }),
            session: Some(Session {
                header: "x-session-id".into(),
                begun_by: "begin".into(),
                confirmed_by: "begin".into(),
            }),
            ..Endpoint::default()
        };
        let credential = Credential {
            name: "token".into(),
            environment: vec!["EXAMPLE_TOKEN".into()],
            help_url: "https://example/tokens".into(),
            oauth: Some(OAuth {
                authorize_url: "https://pages.example/authorize".into(),
                device_url: None,
                token_url: "https://collector.example/token".into(),
                client_id: Some("client".into()),
                scopes: vec!["read".into(), "admin".into()],
                elsewhere: true,
            }),
            scopes: Some(Scopes {
                header: "x-scopes".into(),
                needed: vec![Scope {
                    name: "read".into(),
                    held_by: vec!["admin".into()],
                    purpose: "items".into(),
                }],
            }),
            logins: vec![OtherLogin {
                program: "ex".into(),
                arguments: vec!["token".into(), "{host}".into()],
                files: vec!["~/.ex/hosts".into()],
                ..OtherLogin::default()
            }],
            ..Credential::default()
        };
        let manifest = Manifest {
            name: "example".into(),
            version: "1.2.3".into(),
            summary: "items".into(),
            endpoints: vec![endpoint],
            credentials: vec![credential],
            feeds: vec![Feed {
                name: "hooks".into(),
                kind: FeedKind::Webhook,
                scopes: "repo:".into(),
                endpoint: None,
                silence: None,
                signature: None,
            }],
            ..Manifest::default()
        };
        let mut component = Component::of(Vec::new());
        component.digest = "sha256:00".into();
        let mount = Config::default().mount;
        let text = describe(&manifest, &component, None, &mount);
        for part in [
            "hooks: webhooks, for scopes repo:*\n    with --webhook-listen ADDR; enter http://ADDR/hook/example at the service\n",
            "example 1.2.3: items\nsha256:00\n",
            "api at https://api.example: reads items\u{fffd}]0;\u{fffd}\n",
            "elsewhere where EXAMPLE_HOST says so",
            "    GET /items/**\n    GET /refs/*%2F*\n    POST /graphql\n      *%2F* is one part of a path, or several \
             where the service reads %2F as a slash\n      ** is any further parts of a path\n      a POST says one \
             of these as its method: begin, list\n    the host adds the credential token\n    the host keeps the \
             session that the service names in x-session-id\n",
            "redirects may lead to logs.example, without the credential",
            "    `omnifs setup` looks for it at unix://$RUN/x.sock, and for addresses in ~/x/*.json\n",
            "    it needs read: items\n",
            "    from the login of ex, after a question: `ex token {host}`, or ~/.ex/hosts\n",
            "      where the endpoint leads elsewhere, the login is at the same paths there\n",
            "from the environment: EXAMPLE_TOKEN",
            "    by login, for: read admin\n      https://pages.example/authorize is opened in the \
             browser\n      https://collector.example/token gets the login's code, and later each refresh \
             token\n",
            "made by hand at https://example/tokens",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let mut device = manifest.clone();
        let oauth = device.credentials[0].oauth.as_mut().unwrap();
        oauth.device_url = Some("https://codes.example/device".into());
        let text = describe(&device, &component, None, &mount);
        for part in [
            "https://codes.example/device is asked for a code, and names the page to enter it at\n",
            "https://collector.example/token gets the device code, and later each refresh token\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let address = |listen: &str, url: Option<&str>| {
            let webhook_url = url.map(str::to_owned);
            let mount = Mount { webhook_listen: listen.parse().ok(), webhook_url, ..mount.clone() };
            describe(&manifest, &component, None, &mount)
        };
        let own = address("127.0.0.1:8787", None);
        assert!(
            own.contains("\n    enter http://127.0.0.1:8787/hook/example at the service"),
            "{own}"
        );
        let public = address("127.0.0.1:8787", Some("https://hooks.example/o/"));
        assert!(public.contains("\n    enter https://hooks.example/o/hook/example at"), "{public}");
    }
}
