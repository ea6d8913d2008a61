//! The provider `oci` against Debian's docker-registry, with `curl` and the bytes that were pushed to say what is
//! right.

use crate::tokens::Tokens;
use crate::{configure, home};
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, wait_until};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(60);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;
const EACCES: i32 = 13;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A registry, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    registry: Server,
    served: PathBuf,
    /// What every request needs, for curl.
    user: String,
}

impl World {
    /// Nothing where no mount can be made, or the server is not installed, which is said.
    fn new(test: &str, polls: &str) -> Option<World> {
        World::with_login(test, polls, |_| (String::new(), String::new()))
    }

    /// `login` is given the folder of the registry's files, and gives a section of its configuration and what
    /// curl needs then.
    fn with_login(
        test: &str,
        polls: &str,
        login: impl FnOnce(&Path) -> (String, String),
    ) -> Option<World> {
        let programs = ["docker-registry", "curl", "tar", "gzip", "sha256sum"];
        let omnifs = home(test, &programs)?.env("OMNIFS_POLL_MS", polls);
        let served = omnifs.path("served");
        fs::create_dir_all(&served).expect("a folder");
        let written = |name: &str, text: &str| {
            fs::write(served.join(name), text).expect("a file");
            served.join(name).display().to_string()
        };
        let (auth, user) = login(&served);
        let registry = Server::start("docker-registry", &served, |at| {
            let text = format!(
                "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: '{at}', secret: test}}\n{}",
                served.join("data").display(),
                auth,
            );
            ["serve".to_owned(), written("registry.yml", &text)].to_vec()
        });
        let registry = registry.unwrap_or_else(|error| panic!("{error}"));
        configure(
            &omnifs,
            &format!("[instances.oci]\nendpoints.registry = '{}'\n", registry.url()),
        );
        Some(World { omnifs, registry, served, user })
    }

    /// Names the registry, and a file with a user's name and password.
    fn log_in(&self, more: &str) {
        let secret = self.omnifs.path("login");
        fs::write(&secret, "user:secret\n").expect("a file");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("permissions");
        let (url, secret) = (self.registry.url(), secret.display());
        let own = format!("endpoints.registry.url = '{url}'\ncredential-file = '{secret}'\n{more}");
        configure(&self.omnifs, &format!("[instances.oci]\n{own}"));
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// What the registry answers there, whatever the machine's proxy.
    fn curl(&self, arguments: &str, path: &str) -> String {
        let (user, url) = (&self.user, self.registry.url());
        shell(
            &self.served,
            &format!("curl -sS -f --noproxy '*' {user} {arguments} '{url}/v2/{path}'"),
        )
    }

    /// The names in a list of the registry's, sorted.
    fn names(&self, path: &str, list: &str) -> Vec<String> {
        let answer: Value = serde_json::from_str(&self.curl("", path)).expect("JSON");
        let names = answer[list].as_array().expect("a list");
        let mut names: Vec<_> = names.iter().map(|name| text(name).to_owned()).collect();
        names.sort();
        names
    }

    /// Writes a file into the test's own folder, and gives the digest of its content.
    fn write(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.served.join(name), content).expect("a file");
        let line = format!("echo sha256:$(sha256sum < {name} | cut -d' ' -f1)");
        shell(&self.served, &line)
    }

    /// Uploads a blob, and gives its descriptor.
    fn push(&self, repo: &str, kind: &str, content: &[u8]) -> Value {
        let digest = self.write("blob", content);
        let headers = self.curl("-D - -o /dev/null -X POST", &format!("{repo}/blobs/uploads/"));
        let place = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
        });
        let place = place.unwrap_or_else(|| panic!("no place in {headers}"));
        let put = "curl -sS -f --noproxy '*' -X PUT -H 'content-type: application/octet-stream'";
        let user = &self.user;
        shell(&self.served, &format!("{put} {user} --data-binary @blob '{place}&digest={digest}'"));
        json!({"mediaType": kind, "digest": digest, "size": content.len()})
    }

    /// Puts a manifest below a tag, and gives its descriptor.
    fn tag(&self, repo: &str, tag: &str, manifest: &Value) -> Value {
        let kind = manifest["mediaType"].as_str().expect("a media type");
        let text = serde_json::to_vec_pretty(manifest).expect("JSON");
        let digest = self.write("manifest", &text);
        let arguments =
            format!("-o /dev/null -X PUT -H 'content-type: {kind}' --data-binary @manifest");
        self.curl(&arguments, &format!("{repo}/manifests/{tag}"));
        json!({"mediaType": kind, "digest": digest, "size": text.len()})
    }

    /// The file in which the registry keeps what a tag leads to.
    fn stored_tag(&self, repo: &str, tag: &str) -> PathBuf {
        let repositories = self.served.join("data/docker/registry/v2/repositories");
        repositories.join(format!("{repo}/_manifests/tags/{tag}/current/link"))
    }

    /// Uploads a configuration and these layers, and gives the manifest.
    fn image(&self, repo: &str, config: &str, layers: &[&[u8]]) -> Value {
        let config = self.push(repo, CONFIG, config.as_bytes());
        let layers: Vec<_> = layers.iter().map(|layer| self.push(repo, LAYER, layer)).collect();
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
    }

    /// What the lines of bash leave in a directory, as a layer.
    fn layer(&self, lines: &str) -> Vec<u8> {
        let line = format!(
            "rm -rf tree && mkdir tree && (cd tree && {lines}) && tar -C tree --owner=0 --group=0 -czf layer ."
        );
        shell(&self.served, &line);
        fs::read(self.served.join("layer")).expect("a layer")
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("oci").join(path)
}

/// Requests that the mount has made so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "oci").expect("the instance");
    own["callouts"].as_u64().expect("a number")
}

/// Waits until the scope has been polled and is live.
fn await_live(mounted: &Mounted<'_>, scope: &str) {
    let good =
        |one: &Value| one["scope"] == scope && !one["heard"].is_null() && one["state"] == "live";
    let live = wait_until(SOON, || {
        mounted.status().ok()?["scopes"].as_array()?.iter().any(good).then_some(())
    });
    assert!(live.is_some(), "{:?}", mounted.status());
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn an_image_and_an_index_are_what_was_pushed_and_what_the_registry_says() {
    let Some(world) = World::new("oci_shown", NEVER) else { return };
    let base = world.layer(
        "mkdir -p etc bin gone && echo ID=base > etc/os-release && printf '#!/bin/sh\\n' > bin/run && \
         chmod 755 bin/run && ln bin/run bin/hard && ln -s run bin/soft && echo x > gone/file",
    );
    // Larger than a piece, and nothing that packs well.
    let upper =
        world.layer("head -c 3000000 /dev/urandom > large && echo new > added && touch .wh.gone");
    let amd =
        world.image("acme/api", r#"{"architecture": "amd64", "os": "linux"}"#, &[&base, &upper]);
    let arm = world.image("acme/api", r#"{"architecture": "arm64", "os": "linux"}"#, &[&base]);
    let on = |architecture: &str, manifest: &Value| {
        let mut one = world.tag("acme/api", &format!("only-{architecture}"), manifest);
        one["platform"] = json!({"os": "linux", "architecture": architecture});
        one
    };
    let images = [on("arm64", &arm), on("amd64", &amd)];
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": images});
    let index = world.tag("acme/api", "1.0", &index);
    world.tag("tools", "latest", &world.image("tools", "{}", &[]));

    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let listed = |path: &str| list(&at(path)).expect("a directory");
    let mut repositories: Vec<_> = listed("");
    // The others are the host's own.
    repositories.retain(|name| !name.starts_with('.') && !name.ends_with(".md"));
    let catalog = world.names("_catalog", "repositories");
    let shown: Vec<_> = catalog.iter().map(|name| name.replace('/', "%2F")).collect();
    assert_eq!(repositories, shown);
    assert_eq!(repositories, ["acme%2Fapi", "tools"]);
    assert_eq!(listed("acme%2Fapi"), ["digests", "tags"]);
    assert_eq!(listed("acme%2Fapi/tags"), world.names("acme/api/tags/list", "tags"));
    assert_eq!(listed("acme%2Fapi/tags"), ["1.0", "only-amd64", "only-arm64"]);

    let tag = "acme%2Fapi/tags/1.0";
    let names = ["config.json", "digest", "files", "layers", "manifest.json", "platforms"];
    assert_eq!(listed(tag), names);
    assert_eq!(read(&at(&format!("{tag}/digest"))), format!("{}\n", text(&index["digest"])));
    for (shown, reference, kind) in [("1.0", "1.0", INDEX), ("only-arm64", "only-arm64", MANIFEST)]
    {
        let said =
            world.curl(&format!("-H 'accept: {kind}'"), &format!("acme/api/manifests/{reference}"));
        assert_eq!(read(&at(&format!("acme%2Fapi/tags/{shown}/manifest.json"))), said);
    }
    let config = text(&amd["config"]["digest"]);
    let said = world.curl("", &format!("acme/api/blobs/{config}"));
    assert_eq!(read(&at(&format!("{tag}/config.json"))), said);
    assert_eq!(listed(&format!("{tag}/platforms")), ["linux-amd64", "linux-arm64"]);
    let other = read(&at(&format!("{tag}/platforms/linux-arm64/config.json")));
    assert_eq!(other, r#"{"architecture": "arm64", "os": "linux"}"#);

    let layers = listed(&format!("{tag}/layers"));
    let pushed = amd["layers"].as_array().expect("layers").iter().zip([&base, &upper]).enumerate();
    let expected: Vec<_> = pushed
        .map(|(number, (one, content))| {
            (format!("{number:03}-{}.tar.gz", &text(&one["digest"])[7..19]), content)
        })
        .collect();
    assert_eq!(layers.len(), expected.len());
    // A piece in the middle first, and then all of it.
    let large = at(&format!("{tag}/layers/{}", expected[1].0));
    let mut piece = [0; 100];
    File::open(&large).expect("a file").read_exact_at(&mut piece, 2_000_000).expect("a piece");
    assert!(piece[..] == upper[2_000_000..2_000_100]);
    for (name, content) in &expected {
        let shown = at(&format!("{tag}/layers/{name}"));
        assert_eq!(fs::metadata(&shown).expect("a file").len(), content.len() as u64);
        assert!(fs::read(&shown).expect("a layer") == **content, "{name}");
    }

    let files = at(&format!("{tag}/files"));
    assert_eq!(list(&files).expect("a directory"), ["added", "bin", "etc", "large"]);
    let same =
        "mkdir out && tar -C out -xzf base && tar -C out -xzf layer && rm -r out/gone out/.wh.gone";
    fs::write(world.served.join("base"), &base).expect("a file");
    let unpacked = format!("{same} && diff -r --no-dereference out '{}'", files.display());
    assert_eq!(shell(&world.served, &unpacked), "", "it is what tar unpacks");
    assert_ne!(
        fs::metadata(files.join("bin/run")).expect("a file").permissions().mode() & 0o111,
        0
    );
    assert_eq!(fs::read_link(files.join("bin/soft")).expect("a link"), Path::new("run"));

    let by_digest = format!("acme%2Fapi/digests/{}", text(&images[1]["digest"]));
    assert_eq!(listed(&format!("{by_digest}/layers")), layers);
    assert_eq!(read(&at(&format!("{by_digest}/files/etc/os-release"))), "ID=base\n");
    let absent = format!("acme%2Fapi/digests/sha256:{}", "0".repeat(64));
    for path in ["acme%2Fapi/tags/2.0", "acme%2Fother", &absent, "acme%2Fapi/tags/1.0/other"] {
        let kind = fs::metadata(at(path)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{path}");
    }
}

#[test]
fn a_tag_that_moves_comes_or_goes_shows_by_the_next_poll() {
    let Some(world) = World::new("oci_moves", OFTEN) else { return };
    let [one, two] = ["one", "two"].map(|name| {
        let layer = world.layer(&format!("echo {name} > file && echo {name} > {name}"));
        world.image("acme/api", &format!("\"{name}\""), &[&layer])
    });
    let first = world.tag("acme/api", "moving", &one);
    let mounted = world.mount();
    let tags = place(&mounted, "acme%2Fapi/tags");
    let (tag, new) = (tags.join("moving"), tags.join("new"));
    let digest = |descriptor: &Value| format!("{}\n", text(&descriptor["digest"]));
    assert_eq!(read(&tag.join("digest")), digest(&first));
    assert_eq!(read(&tag.join("files/file")), "one\n");
    assert_eq!(read(&tag.join("config.json")), "\"one\"");
    assert!(!new.exists());
    let second = world.tag("acme/api", "moving", &two);
    await_content(&tag.join("digest"), &digest(&second), SOON);
    await_content(&tag.join("config.json"), "\"two\"", SOON);
    await_content(&tag.join("files/file"), "two\n", SOON);
    await_gone(&tag.join("files/one"), SOON);
    let layers = list(&tag.join("layers")).expect("a directory");
    assert!(layers[0].contains(&text(&two["layers"][0]["digest"])[7..19]), "{layers:?}");
    // What the digest names is what it was.
    let old = place(&mounted, "acme%2Fapi/digests").join(text(&first["digest"]));
    assert_eq!(read(&old.join("files/file")), "one\n");

    world.tag("acme/api", "new", &one);
    await_content(&new.join("digest"), &digest(&first), SOON);
    assert_eq!(list(&tags).expect("a directory"), ["moving", "new"]);
    // With a manifest go the tags that lead to it.
    world.curl("-X DELETE", &format!("acme/api/manifests/{}", text(&first["digest"])));
    await_gone(&new, SOON);
    let left = wait_until(SOON, || (list(&tags).ok()? == ["moving"]).then_some(()));
    assert!(left.is_some(), "{:?}", list(&tags));
    assert_eq!(read(&tag.join("digest")), digest(&second));
}

#[test]
fn what_has_changed_while_the_registry_was_down_shows_once_it_answers() {
    let Some(world) = World::new("oci_stopped", OFTEN) else { return };
    let [one, two] = ["\"one\"", "\"two\""].map(|config| world.image("acme/api", config, &[]));
    world.tag("acme/api", "1.0", &one);
    world.tag("acme/api", "gone", &one);
    let second = world.tag("acme/api", "other", &two);
    let mounted = world.mount();
    let tags = place(&mounted, "acme%2Fapi/tags");
    let config = tags.join("1.0/config.json");
    assert_eq!(read(&config), "\"one\"");
    assert_eq!(read(&tags.join("gone/config.json")), "\"one\"");
    world.registry.stop();
    // As soon as a poll has failed.
    let fails = || {
        let error = fs::read(&config).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read(&config));
    fs::write(world.stored_tag("acme/api", "1.0"), text(&second["digest"])).expect("a file");
    let folder = world.stored_tag("acme/api", "gone").ancestors().nth(2).map(Path::to_owned);
    fs::remove_dir_all(folder.expect("a folder")).expect("a folder");
    assert_eq!(errno(&config), EIO, "nobody answers");
    world.registry.start_again().expect("the registry");
    await_content(&config, "\"two\"", SOON);
    await_gone(&tags.join("gone"), SOON);
    let left = wait_until(SOON, || (list(&tags).ok()? == ["1.0", "other"]).then_some(()));
    assert!(left.is_some(), "{:?}", list(&tags));
}

#[test]
fn a_thousand_tags_cost_a_few_requests_and_then_none() {
    let Some(world) = World::new("oci_thousand", NEVER) else { return };
    let image = world.image("acme/api", "{}", &[]);
    let digest = world.tag("acme/api", "t0001", &image)["digest"].take();
    for number in 2..=1_000 {
        let stored = world.stored_tag("acme/api", &format!("t{number:04}"));
        fs::create_dir_all(stored.parent().expect("a folder")).expect("a folder");
        fs::write(stored, text(&digest)).expect("a file");
    }
    let said = world.names("acme/api/tags/list", "tags");
    assert_eq!(said.len(), 1_000);
    let mounted = world.mount();
    let tags = place(&mounted, "acme%2Fapi/tags");
    let before = requests(&mounted);
    let walk = || shell(&tags, "ls -l | grep -c '^d'");
    assert_eq!(walk(), "1000");
    // The list, which came with the repository, and the first poll. That proves nothing of the time before, so
    // the list is asked for once more; and again where the poll came in the midst of a walk.
    await_live(&mounted, "tags:acme/api");
    assert_eq!(walk(), "1000");
    let cold = requests(&mounted) - before;
    assert!((2..=5).contains(&cold), "{cold} requests");
    assert_eq!(list(&tags).expect("a directory"), said);
    // A tag that is looked into is a scope of its own.
    let digest = tags.join("t0500/digest");
    let content = read(&digest);
    await_live(&mounted, "tag:acme/api:t0500");
    assert_eq!(read(&digest), content);
    let warm = requests(&mounted);
    for _ in 0..5 {
        assert_eq!(walk(), "1000");
        assert_eq!(read(&digest), content);
    }
    assert_eq!(requests(&mounted), warm, "nothing has changed");
}

#[test]
fn a_walk_over_the_files_of_an_image_fetches_their_layer_a_few_times() {
    let Some(world) = World::new("oci_walk", NEVER) else { return };
    let layer = world.layer("for n in $(seq 300); do echo line $n > f$n; done");
    let image = world.image("acme/api", "{}", &[&layer]);
    let digest = world.tag("acme/api", "1.0", &image)["digest"].take();
    let mounted = world.mount();
    assert_eq!(list(&place(&mounted, "acme%2Fapi/tags")).expect("a directory"), ["1.0"]);
    await_live(&mounted, "tags:acme/api");
    let files = place(&mounted, "acme%2Fapi/digests").join(text(&digest)).join("files");
    assert_eq!(list(&files).expect("a directory").len(), 300);
    let before = requests(&mounted);
    let walk = || shell(&files, "grep -r line . | wc -l");
    assert_eq!(walk(), "300");
    let cold = requests(&mounted) - before;
    assert!(cold < 30, "{cold} requests for 300 files of one layer");
    let warm = requests(&mounted);
    assert_eq!(walk(), "300");
    // No feed tells which digests there are, so the name is asked for on the way, and nothing below it.
    let again = requests(&mounted) - warm;
    assert!(again <= 2, "{again} requests for what never changes");
}

/// `user` and `secret`.
const USERS: &str = "user:$2b$04$S5.Yq9UgjRJVZlfa7ntSNuNhipykIkmi/mflm0.tNnK/aoLKc0LFC\n";

#[test]
fn a_registry_that_asks_for_a_login_is_refused_without_and_shown_with_one() {
    let world = World::with_login("oci_login", NEVER, |folder| {
        let path = folder.join("users");
        fs::write(&path, USERS).expect("a file");
        let path = path.display();
        (
            format!("auth: {{htpasswd: {{realm: test, path: '{path}'}}}}\n"),
            "-u user:secret".to_owned(),
        )
    });
    let Some(world) = world else { return };
    world.tag("acme/api", "1.0", &world.image("acme/api", "\"one\"", &[]));
    let mounted = world.mount();
    assert_eq!(errno(&place(&mounted, "acme%2Fapi/tags/1.0/config.json")), EACCES);
    assert!(mounted.unmount());
    world.log_in("");
    let mounted = world.mount();
    assert_eq!(read(&place(&mounted, "acme%2Fapi/tags/1.0/config.json")), "\"one\"");
    assert!(!mounted.log().contains("user:secret"), "{}", mounted.log());
}

#[test]
fn a_registry_whose_tokens_another_service_gives_is_shown_by_them() {
    let mut service = None;
    let world = World::with_login("oci_tokens", NEVER, |folder| {
        let tokens = Tokens::serve(folder, Some("user:secret"), 300);
        let made = (tokens.section(folder), bearer(&tokens));
        service = Some(tokens);
        made
    });
    let (Some(world), Some(tokens)) = (world, service) else { return };
    world.tag("acme/api", "1.0", &world.image("acme/api", "\"one\"", &[&[7; 100]]));
    // Its place is not the registry's, and nobody has named it.
    world.log_in("");
    let mounted = world.mount();
    let config = place(&mounted, "acme%2Fapi/tags/1.0/config.json");
    assert_eq!(errno(&config), EACCES);
    assert!(mounted.log().contains("token-hosts"), "{}", mounted.log());
    assert!(tokens.asked().is_empty());
    assert!(mounted.unmount());

    world.log_in(&format!("endpoints.registry.token-hosts = ['{}']\n", tokens.url()));
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, &format!("acme%2Fapi/tags/1.0/{path}"));
    assert_eq!(read(&at("config.json")), "\"one\"");
    let layers = list(&at("layers")).expect("layers");
    let [layer] = &layers[..] else { panic!("one layer: {layers:?}") };
    assert_eq!(fs::read(at("layers").join(layer)).expect("a layer"), [7; 100]);
    let asked = tokens.asked();
    let of_the_repository =
        |target: &String| target.contains("scope=repository%3Aacme%2Fapi%3Apull");
    assert_eq!((asked.len(), asked.iter().all(of_the_repository)), (1, true), "{asked:?}");
    // Another repository wants another token.
    world.tag("acme/web", "1.0", &world.image("acme/web", "\"two\"", &[]));
    assert_eq!(read(&place(&mounted, "acme%2Fweb/tags/1.0/config.json")), "\"two\"");
    assert_eq!(tokens.asked().len(), 2);
    assert!(!mounted.log().contains("user:secret"), "{}", mounted.log());
    assert!(mounted.unmount());

    // With a password that is not good the service says so, and what it says is told.
    fs::write(world.omnifs.path("login"), "user:other\n").expect("a file");
    let mounted = world.mount();
    assert_eq!(errno(&place(&mounted, "acme%2Fapi/tags/1.0/config.json")), EACCES);
    assert!(mounted.log().contains("gives no token for the credential"), "{}", mounted.log());
}

#[test]
fn public_images_are_read_by_tokens_without_a_login_and_each_is_renewed_in_time() {
    let mut service = None;
    let world = World::with_login("oci_public", OFTEN, |folder| {
        // So soon that the next request needs another one.
        let tokens = Tokens::serve(folder, None, 5);
        let made = (tokens.section(folder), bearer(&tokens));
        service = Some(tokens);
        made
    });
    let (Some(world), Some(tokens)) = (world, service) else { return };
    world.tag("acme/api", "1.0", &world.image("acme/api", "\"one\"", &[]));
    let url = world.registry.url();
    let place_of =
        format!("endpoints.registry = {{ url = '{url}', token-hosts = ['{}'] }}\n", tokens.url());
    configure(&world.omnifs, &format!("[instances.oci]\n{place_of}"));
    let mounted = world.mount();
    let config = place(&mounted, "acme%2Fapi/tags/1.0/config.json");
    await_content(&config, "\"one\"", SOON);
    world.tag("acme/api", "1.0", &world.image("acme/api", "\"two\"", &[]));
    await_content(&config, "\"two\"", SOON);
    let renewed = || (tokens.asked().len() > 4).then_some(());
    wait_until(SOON, renewed).expect("polls have had tokens of their own");
}

/// What curl needs to push.
fn bearer(tokens: &Tokens) -> String {
    format!("-H 'authorization: Bearer {}'", tokens.to_push(&["acme/api", "acme/web"]))
}
