//! What is meant for the service itself goes to no other place.

use super::server::{Seen, Server, answer, on_socket};
use super::*;
use omnifs::credentials::keyring::Lookup;
use omnifs::credentials::{CredentialState, Secret};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tokio::task::JoinHandle;

const HERE: &str = "ghe_0123456789abcdef-for-here";

/// The service itself, on a socket.
struct Service {
    directory: tempfile::TempDir,
    socket: PathBuf,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Service {
    fn start() -> Service {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("service");
        let (seen, task) = on_socket(&socket, |_, _| answer(200, "", "itself"));
        Service { directory, socket, seen, task }
    }

    /// The endpoint `api` leads here unless it is moved.
    fn setup(&self, variables: &[(&str, &str)]) -> Setup {
        let mut setup = setup("");
        setup.overrides.clear();
        setup.environment = environment(variables);
        setup.manifest.endpoints[0].default_url = format!("unix://{}", self.socket.display());
        setup
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn authorization(seen: &Seen) -> Option<String> {
    let last = seen.requests().pop().expect("a request");
    last.lines().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned))
}

#[tokio::test]
async fn the_environment_is_for_the_service_itself_and_not_for_where_an_endpoint_is_moved() {
    let service = Service::start();
    let other = Server::start(|_, _| answer(200, "", "elsewhere")).await;
    let own = &[("EXAMPLE_TOKEN", SECRET)][..];
    let both = &[("EXAMPLE_TOKEN", SECRET), ("EXAMPLE_TOKEN_HERE", HERE)][..];
    for (variables, moved, sent) in [
        (own, false, Some(SECRET)),
        (own, true, None),
        (both, false, Some(SECRET)),
        (both, true, Some(HERE)),
        (&[("EXAMPLE_TOKEN_HERE", HERE)][..], false, None),
    ] {
        let mut setup = service.setup(variables);
        if moved {
            setup.overrides.insert("api".to_owned(), Override::from(&*other.url()));
        }
        fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
        let seen = authorization(if moved { &other.seen } else { &service.seen });
        assert_eq!(seen, sent.map(|sent| format!("Bearer {sent}")), "{variables:?} {moved}");
    }
}

#[tokio::test]
async fn an_environment_variable_that_moves_an_endpoint_takes_no_secret_along() {
    let service = Service::start();
    let other = service.directory.path().join("other");
    let (seen, task) = on_socket(&other, |_, _| answer(200, "", "elsewhere"));
    let url = format!("unix://{}", other.display());
    let setup = service.setup(&[("EXAMPLE_TOKEN", SECRET), ("EXAMPLE_URL", &url)]);
    let outbound = Outbound::new(setup).unwrap();
    fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!(authorization(&seen), None);
    let detail = outbound.credentials().remove(0).detail.unwrap();
    assert!(
        detail.starts_with(&format!("EXAMPLE_TOKEN is not used: the endpoint api is at {url}")),
        "{detail}"
    );
    task.abort();
}

#[tokio::test]
async fn an_origin_is_scheme_host_and_port_and_not_the_path() {
    for (default, place, own) in [
        ("https://api.example.test", "https://api.example.test", true),
        ("https://api.example.test", "https://API.example.test:443/", true),
        ("https://api.example.test/v1", "https://api.example.test/v2/proxy", true),
        ("https://api.example.test", "https://api.example.test:8443", false),
        ("https://api.example.test", "https://example.test", false),
        ("https://api.example.test", "https://eu.api.example.test", false),
        ("https://api.example.test", "https://api.example.test.", false),
        ("https://api.example.test", "https://api.example.test.evil.example", false),
        ("https://localhost", "http://localhost", false),
        ("https://localhost", "http://localhost:443", false),
        ("https://localhost", "https://127.0.0.1", false),
        ("unix:///run/a.sock", "unix:///run/a.sock", true),
        ("unix:///run/a.sock", "unix:///run/b.sock", false),
        ("unix:///run/a.sock", "https://a.sock", false),
    ] {
        let mut setup = setup(place);
        setup.environment = environment(&[("EXAMPLE_TOKEN", SECRET)]);
        setup.manifest.endpoints[0].default_url = default.to_owned();
        let outbound = Outbound::new(setup).unwrap();
        outbound.look_up().await;
        let status = outbound.credentials().remove(0);
        let found = status.state != CredentialState::Missing;
        assert_eq!(found, own, "{default} at {place}: {status:?}");
    }
}

/// `api` at the service itself, and `uploads` moved to `other`.
fn two_endpoints(service: &Service, other: &str, variables: &[(&str, &str)]) -> Setup {
    let mut setup = service.setup(variables);
    let uploads = Endpoint { name: "uploads".to_owned(), ..setup.manifest.endpoints[0].clone() };
    setup.manifest.endpoints.push(uploads);
    setup.overrides.insert("uploads".to_owned(), Override::from(other));
    setup
}

fn uploads() -> Request {
    Request { endpoint: "uploads".to_owned(), ..get("/things/1") }
}

#[tokio::test]
async fn where_one_of_two_endpoints_is_moved_no_secret_of_one_place_reaches_the_other() {
    let service = Service::start();
    let other = Server::start(|_, _| answer(200, "", "elsewhere")).await;
    let variables = [("EXAMPLE_TOKEN", SECRET), ("EXAMPLE_TOKEN_HERE", HERE)];
    let outbound = Outbound::new(two_endpoints(&service, &other.url(), &variables)).unwrap();
    fetch(&outbound, get("/things/1")).await.unwrap();
    fetch(&outbound, uploads()).await.unwrap();
    assert_eq!(authorization(&service.seen), None);
    assert_eq!(authorization(&other.seen), Some(format!("Bearer {HERE}")));

    // A file is the user's word for all of the instance.
    let file = service.directory.path().join("token");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut setup = two_endpoints(&service, &other.url(), &variables);
    setup.credential_files.insert("token".to_owned(), file);
    let outbound = Outbound::new(setup).unwrap();
    fetch(&outbound, get("/things/1")).await.unwrap();
    fetch(&outbound, uploads()).await.unwrap();
    for seen in [&service.seen, &other.seen] {
        assert_eq!(authorization(seen), Some(format!("Bearer {SECRET}")));
    }
}

#[tokio::test]
async fn the_endpoint_that_stayed_says_that_only_a_file_is_for_both() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("service");
    let (seen, task) = on_socket(&socket, |_, _| answer(401, "", ""));
    let service = Service { directory, socket, seen, task };
    let variables = [("EXAMPLE_TOKEN_HERE", HERE)];
    let setup = two_endpoints(&service, "https://ghe.example.test", &variables);
    let (_, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert!(
        detail.contains("the endpoint uploads is at https://ghe.example.test; only one from a"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_redirect_back_to_the_service_itself_brings_no_secret_of_the_environment() {
    let service = Server::start(|_, _| answer(200, "", "itself")).await;
    let home = service.url();
    let other =
        Server::start(move |_, _| answer(302, &format!("Location: {home}/x\r\n"), "")).await;
    let mut setup = setup(&other.url());
    setup.manifest.endpoints[0].default_url = service.url().replace("http:", "https:");
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(service.url());
    setup.environment = environment(&[("EXAMPLE_TOKEN", SECRET), ("EXAMPLE_TOKEN_HERE", HERE)]);
    fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
    assert_eq!(authorization(&other.seen), Some(format!("Bearer {HERE}")));
    assert_eq!(authorization(&service.seen), None);
}

#[tokio::test]
async fn what_a_keyring_holds_for_one_place_is_not_found_for_another() {
    let service = Service::start();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let entry_at = async |place: Option<&str>| {
        let noted = asked.clone();
        let mut setup = service.setup(&[]);
        setup.keyring = Some(Lookup::from_fn(move |entry| {
            noted.lock().unwrap().push(entry.to_owned());
            (entry == "example/token").then(|| Secret::new(SECRET.to_owned()))
        }));
        if let Some(place) = place {
            setup.overrides.insert("api".to_owned(), Override::from(place));
        }
        let outbound = Outbound::new(setup).unwrap();
        outbound.look_up().await;
        (asked.lock().unwrap().pop().unwrap(), outbound.credentials().remove(0).state)
    };
    let (entry, state) = entry_at(None).await;
    assert_eq!((&*entry, state), ("example/token", CredentialState::Unknown));
    let mut entries = vec![entry];
    for place in ["https://ghe.example.test/api/v3", "https://ghe.example.test:8443"] {
        let (entry, state) = entry_at(Some(place)).await;
        assert_eq!(state, CredentialState::Missing, "{place}");
        assert!(entry.starts_with("example/token@https://ghe.example.test"), "{entry}");
        entries.push(entry);
    }
    entries.dedup();
    assert_eq!(entries.len(), 3, "{entries:?}");
}

#[tokio::test]
async fn what_is_missing_elsewhere_says_which_variable_is_not_used_and_what_is() {
    let mut setup = setup("https://ghe.example.test/api/v3");
    setup.environment = environment(&[("EXAMPLE_TOKEN", SECRET), ("EXAMPLE_TOKEN_2", " ")]);
    let outbound = Outbound::new(setup).unwrap();
    outbound.look_up().await;
    let status = outbound.credentials().remove(0);
    assert_eq!(status.state, CredentialState::Missing);
    assert_eq!(
        status.detail.as_deref(),
        Some(
            "EXAMPLE_TOKEN is not used: the endpoint api is at https://ghe.example.test; run `omnifs \
             auth login example` or set EXAMPLE_TOKEN_HERE or name a credential-file"
        )
    );
}

#[tokio::test]
async fn a_file_is_sent_wherever_the_endpoint_is() {
    let directory = tempfile::tempdir().unwrap();
    let file: &Path = &directory.path().join("token");
    std::fs::write(file, "from-the-file-012345").unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(|_, _| answer(200, "", "ok")).await;
    let mut setup = setup(&server.url());
    setup.environment = environment(&[("EXAMPLE_TOKEN", SECRET)]);
    setup.credential_files.insert("token".to_owned(), file.to_owned());
    fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
    assert_eq!(authorization(&server.seen).as_deref(), Some("Bearer from-the-file-012345"));
}
