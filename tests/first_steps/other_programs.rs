//! The login of another program. It is for a server of a company here: TLS on port 443 of a loopback address, with the
//! twin behind it.

use super::*;
use omnifs_twins::credential_hash;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A company's server, and a home whose user has a `gh` that is logged in there.
struct Company {
    world: World,
    host: String,
    path: String,
    _server: Runtime,
}

impl Company {
    /// `script` is what `gh` does.
    fn new(test: &str, script: &str) -> Option<Company> {
        let server = Runtime::new().expect("a runtime");
        // Any address below 127 is this machine's. Each test has one of its own.
        let tail = std::process::id() % 50_000 + u32::from(test.len() as u8);
        let [_, _, high, low] = tail.to_be_bytes();
        let host = Ipv4Addr::new(127, 77, high, low.max(1));
        let listener = match server.block_on(TcpListener::bind(SocketAddr::from((host, 443)))) {
            Ok(listener) => listener,
            Err(error) => {
                skip(test, &format!("port 443 of {host}: {error}: run it as root"));
                return None;
            }
        };
        let mut world = World::new();
        let made = rcgen::generate_simple_self_signed(vec![host.to_string()]).expect("a key");
        let authority = world.omnifs.path("authority.pem");
        fs::write(&authority, made.cert.pem()).expect("a file");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a server");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let twin: SocketAddr = world.twin.url()["http://".len()..].parse().expect("an address");
        server.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut twin) = TcpStream::connect(twin).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut twin).await;
                });
            }
        });
        let hosts = world.omnifs.path("config/gh/hosts.yml");
        fs::create_dir_all(hosts.parent().expect("a directory")).expect("a directory");
        let text =
            format!("{host}:\n    users:\n        mira:\n    git_protocol: ssh\n    user: mira\n");
        fs::write(&hosts, text).expect("a file");
        let path = program(&world.omnifs, "gh", script);
        // Not this program's business, which would print it as its own.
        world.omnifs = world.omnifs.env("PATH", &path).env("GH_TOKEN", OTHER);
        world.omnifs = world.omnifs.env("SSL_CERT_FILE", authority.to_str().expect("UTF-8"));
        Some(Company { world, host: host.to_string(), path, _server: server })
    }

    /// What `gh` was called with.
    fn calls(&self) -> String {
        assert!(self.path.contains("/bin:"));
        fs::read_to_string(self.world.omnifs.path("bin/calls")).unwrap_or_default()
    }
}

const NOTES: &str =
    "echo \"$*\" >>\"$(dirname \"$0\")/calls\"; env >>\"$(dirname \"$0\")/environment\"";

#[test]
fn setup_takes_the_login_of_another_program_for_an_instance_of_its_own() {
    let script = format!("{NOTES}; echo {TOKEN}");
    let Some(company) = Company::new("setup_takes", &script) else { return };
    let (world, host) = (&company.world, &company.host);
    // The service itself is not to be asked by a test: its own instance is at the twin.
    world.omnifs.config(&world.placing()).expect("a configuration");
    let name = host.replace('.', "-");
    let all = ["setup", "--without", "docker", "--without", "linear"];

    let (code, said) = world.said(&[&all[..], &["--dry-run"]].concat());
    assert_eq!(code, 0, "{said}");
    let what = format!(
        "{name}: would ask the service whose the login of gh, logged in at {host} as mira (`gh auth token \
         --hostname {host}`) is, and keep it in "
    );
    assert!(said.contains(&what), "{what}: {said}");
    assert_eq!((company.calls().as_str(), world.kept().len()), ("", 0), "no program is run");

    let (code, said) = world.said(&[&all[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(company.calls(), format!("auth token --hostname {host}\n"));
    assert!(said.contains(&format!("{name}: kept in ")) && said.contains(", of mira\n"), "{said}");
    let written = format!(
        "[instances.{name}]\nprovider = \"github\"\nendpoints.api = \"https://{host}/api/v3\"\n"
    );
    assert!(world.config().contains(&written), "{}", world.config());
    let asked = world.twin.requests();
    let own = credential_hash(TOKEN);
    assert!(asked.iter().any(|request| request.credential.as_ref() == Some(&own)));
    let (code, said) = world.said(&["auth", "status", &name]);
    assert_eq!(code, 0, "{said}");
    let environment = fs::read_to_string(world.omnifs.path("bin/environment")).expect("it ran");
    assert!(environment.contains("HOME=") && !environment.contains(PART), "{environment}");
    // And it is found the next time.
    let (before, (_, said)) = (world.config(), world.said(&[&all[..], &["--yes"]].concat()));
    assert_eq!(world.config(), before, "{said}");
}

#[test]
fn the_login_at_the_service_itself_is_not_taken_for_an_instance_that_is_elsewhere() {
    let mut world = World::placed();
    let hosts = world.omnifs.path("config/gh/hosts.yml");
    fs::create_dir_all(hosts.parent().expect("a directory")).expect("a directory");
    let text = format!("github.com:\n    oauth_token: {TOKEN}\n    user: mira\n");
    fs::write(hosts, text).expect("a file");
    let path = program(&world.omnifs, "gh", &format!("{NOTES}; echo {TOKEN}"));
    world.omnifs = world.omnifs.env("PATH", &path);
    let (code, said) = world.said(&["auth", "login", "github", "--yes"]);
    assert_eq!(code, 2, "{said}");
    let (code, said) =
        world.said(&["setup", "--yes", "--without", "docker", "--without", "linear"]);
    assert_eq!((code, world.kept().len()), (0, 0), "{said}");
    assert!(world.twin.requests().iter().all(|request| request.credential.is_none()));
    assert!(!world.omnifs.path("bin/calls").exists(), "no program is run");
}

#[test]
fn a_dry_run_names_the_command_for_the_service_itself_and_asks_nobody() {
    let mut world = World::new();
    let hosts = world.omnifs.path("config/gh/hosts.yml");
    fs::create_dir_all(hosts.parent().expect("a directory")).expect("a directory");
    let text = format!("github.com:\n    oauth_token: {TOKEN}\n    user: mira\n");
    fs::write(hosts, text).expect("a file");
    let path = program(&world.omnifs, "gh", NOTES);
    world.omnifs = world.omnifs.env("PATH", &path);
    let (code, said) = world.said(&["setup", "--dry-run", "--without", "docker"]);
    assert_eq!(code, 0, "{said}");
    let what = "github: would ask the service whose the login of gh, logged in at github.com as mira \
                (`gh auth token --hostname github.com`) is, and keep it in ";
    assert!(said.contains(what), "{said}");
    assert!(!world.omnifs.path("bin/calls").exists());
}

#[test]
fn a_login_of_another_program_that_is_refused_or_fails_is_said_and_not_kept() {
    for (test, script, part) in [
        ("refused", "echo ghp_unknownSECRET0009", "does not accept this token; it is not kept"),
        ("failing", "echo ghp_halfSECRET0009; exit 1", "printed no token"),
    ] {
        let Some(company) = Company::new(test, script) else { return };
        let (world, host) = (&company.world, &company.host);
        let text = format!(
            "[instances.work]\nprovider = 'github'\nendpoints.api = 'https://{host}/api/v3'\n"
        );
        world.omnifs.config(&text).expect("a configuration");
        let (code, said) = world.said(&["auth", "login", "work", "--yes"]);
        assert_eq!((code, world.kept().len()), (1, 0), "{said}");
        assert!(said.contains(part), "{said}");
        assert_eq!(world.config(), text);
    }
}

#[test]
fn a_login_without_a_terminal_takes_no_other_programs_token_that_nobody_agreed_to() {
    let script = format!("{NOTES}; echo {TOKEN}");
    let Some(company) = Company::new("nobody_agreed", &script) else { return };
    let (world, host) = (&company.world, &company.host);
    let place =
        format!("[instances.work]\nprovider = 'github'\nendpoints.api = 'https://{host}/api/v3'\n");
    world.omnifs.config(&place).expect("a configuration");
    let (code, said) = world.said(&["auth", "login", "work"]);
    assert_eq!((code, company.calls().as_str(), world.kept().len()), (2, "", 0), "{said}");
    let (code, said) = world.said(&["auth", "login", "work", "--yes"]);
    assert_eq!((code, world.kept().len()), (0, 1), "{said}");
    // An application of the configuration's leaves it the first choice; one of the command line does not.
    let with = format!("{place}client-id = 'my-application'\n");
    world.omnifs.config(&with).expect("a configuration");
    let (code, said) = world.said(&["auth", "login", "work", "--yes"]);
    assert_eq!((code, company.calls().lines().count()), (0, 2), "{said}");
    world.omnifs.config(&place).expect("a configuration");
    // An instance that is elsewhere gets nothing of this host.
    let elsewhere = place.replace("work", "other").replace(host, "127.66.0.1");
    world.omnifs.config(&elsewhere).expect("a configuration");
    let (code, said) = world.said(&["auth", "login", "other", "--yes"]);
    assert_eq!((code, company.calls().lines().count()), (2, 2), "{said}");
}
