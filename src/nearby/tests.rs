use super::*;
use crate::config::{Approval, InstanceConfig};
use crate::provider::{Nearby, OtherHost};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn instance(source: Source) -> Instance {
    Instance {
        name: "x".into(),
        source,
        approval: Approval::Shipped,
        enabled: true,
        config: InstanceConfig::default(),
        egress: Default::default(),
    }
}

fn shipped() -> Instance {
    instance(Source::Shipped("x".into()))
}

fn write(home: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn machine(home: &TempDir, variables: &[(&str, &str)]) -> Machine {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let get = move |name: &str| {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    Machine::new(home.path(), Environment::from_fn(get))
}

fn endpoint() -> Endpoint {
    Endpoint {
        name: "engine".into(),
        url_environment: Some("X_HOST".into()),
        nearby: Some(Nearby {
            contexts: Some(Contexts {
                files: vec!["~/.x/meta/*/meta.json".into()],
                name: "/Name".into(),
                address: "/Host".into(),
                chosen_environment: Some("X_CONTEXT".into()),
                chosen_files: vec!["~/.x/config.json".into()],
                chosen: "/current".into(),
            }),
            sockets: vec!["unix://$RUN/x.sock".into(), "unix://~/run/x.sock".into()],
        }),
        ..Endpoint::default()
    }
}

#[test]
fn the_users_choice_comes_first_then_sockets_that_are_there_then_other_contexts() {
    let home = TempDir::new().unwrap();
    write(&home, ".x/config.json", r#"{"current": "two"}"#);
    write(&home, ".x/meta/a/meta.json", r#"{"Name": "one", "Host": "ssh://somewhere"}"#);
    write(&home, ".x/meta/b/meta.json", r#"{"Name": "two", "Host": "unix:///two.sock"}"#);
    write(&home, ".x/meta/c/meta.json", "not json");
    let socket = write(&home, "run/x.sock", "");
    let run = home.path().join("run");
    let urls = |variables: &[(&str, &str)]| {
        let found = machine(&home, variables).addresses(&shipped(), &endpoint());
        let shown = found.iter().map(|a| format!("{} {} {}", a.url, a.from, a.chosen));
        shown.collect::<Vec<_>>()
    };
    let socket = format!("unix://{} socket false", socket.display());
    let one = "ssh://somewhere context one false".to_owned();
    assert_eq!(
        urls(&[]),
        ["unix:///two.sock context two true".into(), socket.clone(), one.clone()]
    );
    // The variable wins over the file, and one socket by two ways is one.
    let run = run.to_str().unwrap();
    assert_eq!(
        urls(&[("X_HOST", "unix:///v.sock"), ("X_CONTEXT", "none"), ("RUN", run)]),
        [
            "unix:///v.sock environment variable X_HOST true".into(),
            socket,
            one,
            "unix:///two.sock context two false".into(),
        ]
    );
}

fn logins() -> Vec<OtherLogin> {
    vec![OtherLogin {
        program: "/no/such/program".into(),
        arguments: vec!["token".into(), "{host}".into()],
        files: vec!["$XDIR/hosts.yml".into(), "~/.config/x/hosts.yml".into()],
        secret: "/token".into(),
        user: "/user".into(),
        own_host: "hub.example".into(),
        other_hosts: vec![
            OtherHost {
                ends_with: ".cloud.example".into(),
                endpoint: "api".into(),
                url: "https://api.{host}".into(),
            },
            OtherHost {
                ends_with: String::new(),
                endpoint: "api".into(),
                url: "https://{host}/api".into(),
            },
        ],
    }]
}

const HOSTS: &str = "\
corp.example:
    user: work
    oauth: { a: [1, 2] }
hub.example:
    users:
        mira: {}
    token: kept-in-the-file
    user: mira
a.cloud.example: { user: cloud }
\"-rf /\": { user: evil }
";

#[test]
fn each_host_of_another_program_is_a_login_and_the_services_own_comes_first() {
    let home = TempDir::new().unwrap();
    write(&home, ".config/x/hosts.yml", HOSTS);
    let found = machine(&home, &[]).logins(&shipped(), &logins());
    let shown: Vec<_> =
        found.iter().map(|l| (l.described(), l.endpoint.clone().map(|(_, url)| url))).collect();
    let text = |host: &str, user| format!("/no/such/program, logged in at {host} as {user}");
    assert_eq!(
        shown,
        [
            (text("hub.example", "mira"), None),
            (text("a.cloud.example", "cloud"), Some("https://api.a.cloud.example".into())),
            (text("corp.example", "work"), Some("https://corp.example/api".into())),
        ]
    );
    assert_eq!(found[0].secret().unwrap_or_else(|e| panic!("{e}")).expose(), "kept-in-the-file");
    let Err(error) = found[2].secret() else { panic!("it has no secret") };
    assert!(error.to_string().contains("`/no/such/program token corp.example` cannot be run"));
    write(&home, ".config/x/hosts.yml", "- a\n\t: {");
    assert!(machine(&home, &[]).logins(&shipped(), &logins()).is_empty());
}

#[test]
fn another_program_is_asked_for_the_secret_of_that_host_alone() {
    let home = TempDir::new().unwrap();
    write(&home, ".config/x/hosts.yml", "corp.example: { user: work }\n");
    let program = write(&home, "ex", "#!/bin/sh\necho \"secret of $2\"\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = logins();
    spec[0].program = program.to_str().unwrap().into();
    let secret = |spec: &[OtherLogin]| machine(&home, &[]).logins(&shipped(), spec)[0].secret();
    assert_eq!(secret(&spec).unwrap_or_else(|e| panic!("{e}")).expose(), "secret of corp.example");
    fs::write(&program, "#!/bin/sh\necho half-a-secret\nexit 1\n").unwrap();
    let Err(error) = secret(&spec) else { panic!("it has failed") };
    assert!(error.to_string().ends_with("printed no token"), "{error}");
}

#[test]
fn for_a_component_that_does_not_ship_no_file_is_read() {
    let home = TempDir::new().unwrap();
    write(&home, ".config/x/hosts.yml", HOSTS);
    write(&home, "run/x.sock", "");
    let machine = machine(&home, &[("X_HOST", "unix:///v.sock")]);
    let added = instance(Source::File("/x.wasm".into()));
    assert_eq!(machine.logins(&added, &logins()).len(), 0);
    assert_eq!(machine.addresses(&added, &endpoint()), []);
    assert_eq!(machine.logins(&shipped(), &logins()).len(), 3);
    assert_eq!(machine.addresses(&shipped(), &endpoint()).len(), 2);
}
