//! Where secrets come from, and that they stay there.

use super::server::{Server, answer, on_socket};
use super::*;
use omnifs::credentials::keyring::Lookup;
use omnifs::credentials::{Chain, Secret, Signed, Source, Sources, keyring};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn chain(file: Option<&Path>, variables: &[(&str, &str)], keyring: Option<&str>) -> Chain {
    let stored = keyring.map(str::to_owned);
    let lookup = Lookup::from_fn(move |entry| {
        assert_eq!(entry, "example/token");
        stored.clone().map(Secret::new)
    });
    let sources = Sources {
        elsewhere: Vec::new(),
        file: file.map(Path::to_owned),
        environment: environment(variables),
        keyring: Some(lookup),
    };
    Chain::new("example", &credential(), sources)
}

async fn found(chain: &Chain) -> Option<(String, Source)> {
    let found = chain.resolve().await.unwrap()?;
    Some((found.secret.expose().to_owned(), found.source.clone()))
}

#[tokio::test]
async fn the_file_comes_before_the_environment_and_the_environment_before_the_keyring() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    write(&path, "from the file\n", 0o600);
    let variables = &[("EXAMPLE_TOKEN", ""), ("EXAMPLE_TOKEN_2", " from the variable ")][..];
    assert_eq!(
        found(&chain(Some(&path), variables, Some("from the keyring"))).await,
        Some(("from the file".to_owned(), Source::File(path.clone())))
    );
    assert_eq!(
        found(&chain(None, variables, Some("from the keyring"))).await,
        Some(("from the variable".to_owned(), Source::Environment("EXAMPLE_TOKEN_2".to_owned())))
    );
    assert_eq!(
        found(&chain(None, &[], Some("from the keyring"))).await,
        Some(("from the keyring".to_owned(), Source::Keyring))
    );
    assert_eq!(found(&chain(None, &[], None)).await, None);
}

/// An instance's secrets are told apart by what stands behind its name, and no credential is named as the
/// secret of its deliveries. So an instance may have that name.
#[tokio::test]
async fn an_instance_may_be_named_webhook() {
    let lookup = Lookup::from_fn(|entry| Some(Secret::new(format!("kept as {entry}"))));
    let sources = Sources {
        elsewhere: Vec::new(),
        file: None,
        environment: environment(&[]),
        keyring: Some(lookup.clone()),
    };
    let variable = ("OMNIFS_WEBHOOK_SECRET_WEBHOOK", "of the deliveries");
    let of = |instance: &str, variables: &[(&str, &str)], keyring| {
        Chain::webhook(instance, None, environment(variables), keyring)
    };
    let secret = async |chain: Chain| found(&chain).await.map(|(secret, _)| secret);
    let token = Chain::new("webhook", &credential(), sources);
    assert_eq!(secret(token).await.unwrap(), "kept as webhook/token");
    let deliveries = of("webhook", &[], Some(lookup.clone()));
    assert_eq!(secret(deliveries).await.unwrap(), "kept as webhook/webhook");
    let other = of("token", &[variable], Some(lookup));
    assert_eq!(secret(other).await.unwrap(), "kept as token/webhook");
    assert_eq!(secret(of("webhook", &[variable], None)).await.unwrap(), "of the deliveries");
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    write(&path, "first-1\n", 0o600);
    let chain = chain(Some(&path), &[], None);
    let one = chain.resolve().await.unwrap().unwrap();
    let same = chain.resolve().await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &same));
    // Replaced by rename, as editors do: equal length, and perhaps an equal time.
    let next = directory.path().join("next");
    write(&next, "second2\n", 0o600);
    fs::rename(&next, &path).unwrap();
    let other = chain.resolve().await.unwrap().unwrap();
    assert_eq!(other.secret.expose(), "second2");
    assert_ne!(one.fingerprint, other.fingerprint);
    // Opened to others after it was read.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = chain.resolve().await.unwrap_err().to_string();
    assert!(error.contains(&format!("run `chmod 600 {}`", path.display())), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(chain.resolve().await.unwrap().unwrap().secret.expose(), "second2");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_an_error_and_not_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a token's file");
    let message = async || {
        let chain = chain(Some(&path), &[("EXAMPLE_TOKEN", "fallback")], None);
        chain.resolve().await.unwrap_err().to_string()
    };
    assert!(message().await.contains("cannot read"));
    for mode in [0o644, 0o604, 0o640, 0o620, 0o601] {
        write(&path, "text", mode);
        let error = message().await;
        assert!(error.contains(&format!("mode {mode:o}")), "{error}");
        assert!(error.contains("a token'\\''s file'`"), "{error}");
    }
    for (text, part) in [("\n", "is empty"), ("a\nb", "one line"), ("caf\u{e9}", "one line")] {
        write(&path, text, 0o600);
        let error = message().await;
        assert!(error.contains(part), "{error}");
        assert!(!error.contains('\n'));
    }
    write(&path, &"x".repeat(70_000), 0o600);
    assert!(message().await.contains("more than"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(message().await.contains("not a regular file"));
    fs::remove_dir(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(message().await.contains("not a regular file"), "and it does not wait for a writer");
}

#[tokio::test]
async fn a_secret_with_a_raw_prefix_is_sent_as_it_stands() {
    for (secret, expected) in
        [("lin_api_abcdefgh", "authorization: lin_api_abcdefgh\r\n"), ("plain", "Bearer plain\r\n")]
    {
        let server = Server::start(|_, _| answer(200, "", "ok")).await;
        let mut setup = setup(&server.url());
        setup.environment = environment(&[("EXAMPLE_TOKEN_HERE", secret)]);
        fetch(&Outbound::new(setup).unwrap(), get("/things/1")).await.unwrap();
        let seen = &server.seen.requests()[0];
        assert!(seen.contains(expected), "{seen}");
    }
}

#[tokio::test]
async fn a_401_says_which_credential_from_where_and_what_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("service");
    let (seen, _task) =
        on_socket(&socket, |_, _| answer(401, "", "{\"message\":\"Bad credentials\"}"));
    let url = format!("unix://{}", socket.display());
    let with = |variables: &[(&str, &str)], keyring: Option<&'static str>| {
        let mut setup = setup("");
        setup.overrides.clear();
        setup.manifest.endpoints[0].default_url.clone_from(&url);
        setup.environment = environment(variables);
        setup.keyring = Some(Lookup::from_fn(move |_| keyring.map(|k| Secret::new(k.to_owned()))));
        Outbound::new(setup).unwrap()
    };
    let (cause, detail) = fails(&with(&[("EXAMPLE_TOKEN", SECRET)], None), get("/things/1")).await;
    assert_eq!(cause, Cause::Denied);
    assert_eq!(
        detail,
        format!(
            "{url} answered 401: it does not accept credential \"token\" from environment variable \
             EXAMPLE_TOKEN; set another one, or unset EXAMPLE_TOKEN and run `omnifs auth login \
             example`"
        )
    );
    let (_, detail) = fails(&with(&[], Some(SECRET)), get("/things/1")).await;
    assert!(
        detail.ends_with("from the system keyring; run `omnifs auth login example`"),
        "{detail}"
    );
    let (_, detail) = fails(&with(&[], None), get("/things/1")).await;
    assert_eq!(
        detail,
        format!(
            "{url} answered 401: it wants credential \"token\" and none is configured; run `omnifs \
             auth login example` or set EXAMPLE_TOKEN or EXAMPLE_TOKEN_2"
        )
    );
    let last = seen.requests().pop().unwrap();
    assert!(!last.to_lowercase().contains("authorization"), "{last}");
}

#[tokio::test]
async fn after_a_401_the_keyring_is_asked_again_but_not_at_every_read() {
    let server = Server::start(|_, request| {
        let status = if request.contains("fresh-secret-0123") { 200 } else { 401 };
        answer(status, "", "x")
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup = Lookup::from_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(Secret::new("stale-secret-0123".to_owned()))
    });
    let mut setup = setup(&server.url());
    setup.environment = environment(&[]);
    setup.keyring = Some(lookup);
    let outbound = Outbound::new(setup).unwrap();
    for _ in 0..20 {
        fails(&outbound, get("/things/1")).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_session_the_keyring_is_silent_and_quick() {
    let began = Instant::now();
    let answer = Lookup::system().get("omnifs-test/absent").await;
    assert!(began.elapsed() <= keyring::DEADLINE * 10);
    let session = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some();
    if !session && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        assert!(answer.unwrap().is_none());
    }
}

/// In a process of its own, whose session bus accepts connections and never says a word.
#[tokio::test]
async fn a_keyring_that_hangs_is_given_up_and_does_not_keep_the_process() {
    const CHILD: &str = "OMNIFS_TEST_HUNG_KEYRING";
    if std::env::var_os(CHILD).is_some() {
        let began = Instant::now();
        for _ in 0..2 {
            let error = match keyring::get("omnifs-test/absent", Duration::from_millis(500)).await {
                Ok(_) => panic!("nobody answered"),
                Err(error) => error.to_string(),
            };
            assert!(error.contains("did not answer within"), "{error}");
        }
        assert!(began.elapsed() < Duration::from_secs(60));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&bus).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "credentials::a_keyring_that_hangs_is_given_up_and_does_not_keep_the_process",
        ])
        .env(CHILD, "1")
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()))
        .stdout(std::process::Stdio::null())
        .status();
    assert!(child.unwrap().success());
}

#[tokio::test]
async fn a_secret_shows_in_no_debug_output() {
    let chain = chain(None, &[("EXAMPLE_TOKEN", SECRET)], None);
    let found = chain.resolve().await.unwrap().unwrap();
    let carried = chain.carry(found.clone()).unwrap();
    let mut headers = http::HeaderMap::new();
    let request = Signed {
        method: &http::Method::GET,
        url: &"https://api.example.test/things/1".parse().unwrap(),
        body: b"",
        now: std::time::SystemTime::now(),
        region: None,
    };
    carried.put(request, &mut headers);
    let value = &headers[http::header::AUTHORIZATION];
    let status = chain.status("login");
    let shown = format!("{chain:?} {found:?} {carried:?} {value:?} {status:?} {}", found.source);
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(value.is_sensitive());
    let odd = chain_of("two words\u{7}");
    let error = odd.resolve().await.unwrap_err().to_string();
    assert!(!error.contains("two words"), "{error}");
}

fn chain_of(secret: &str) -> Chain {
    chain(None, &[("EXAMPLE_TOKEN", secret)], None)
}

/// In a process of its own, because it cannot be undone.
#[test]
#[cfg(target_os = "linux")]
fn the_process_can_be_made_undumpable() {
    const CHILD: &str = "OMNIFS_TEST_UNDUMPABLE";
    if std::env::var_os(CHILD).is_some() {
        omnifs::credentials::set_not_dumpable().unwrap();
        let state = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(state, rustix::process::DumpableBehavior::NotDumpable);
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "credentials::the_process_can_be_made_undumpable"])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
