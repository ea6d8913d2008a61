//! Engines on the user's machine: contexts, sockets, and what does not work.

use super::*;
use std::os::unix::net::UnixListener;

const OFF: [&str; 4] = ["--without", "github", "--without", "linear"];

/// A home with two contexts, of which this one is in use.
fn contexts(chosen: &str, sockets: &[(&str, &str)]) -> World {
    let world = World::new();
    let folder = world.omnifs.path(".docker");
    for (name, url) in sockets {
        let meta = folder.join("contexts/meta").join(name);
        fs::create_dir_all(&meta).expect("a directory");
        let text = format!(
            "{{\"Name\":\"{name}\",\"Metadata\":{{}},\"Endpoints\":{{\"docker\":{{\"Host\":\"{url}\"}}}}}}"
        );
        fs::write(meta.join("meta.json"), text).expect("a file");
    }
    let text = format!("{{\"auths\":{{}},\"currentContext\":\"{chosen}\"}}");
    fs::write(folder.join("config.json"), text).expect("a file");
    world
}

fn setup(world: &World, more: &[&str]) -> (i32, String) {
    world.said(&[&["setup"][..], &OFF, more].concat())
}

#[test]
fn the_engine_of_the_context_in_use_is_found_and_one_over_ssh_is_said_not_to_work() {
    let world = World::new();
    let (dead, live) = (world.omnifs.path("dead.sock"), world.omnifs.path("live.sock"));
    let urls = [&dead, &live].map(|path| format!("unix://{}", path.display()));
    let other = contexts("lab", &[("lab", &urls[1]), ("old", &urls[0])]);
    let _engine = UnixListener::bind(&live).expect("a socket");
    let mut world = World { twin: world.twin, omnifs: other.omnifs };
    world.omnifs = world.omnifs.env("DOCKER_HOST", "ssh://me@builder");

    let (code, said) = setup(&world, &["--dry-run"]);
    assert_eq!((code, world.config().as_str()), (0, ""), "{said}");
    let use_it = format!("use {} (context lab): endpoints.engine in the configuration\n", urls[1]);
    assert!(said.contains(&format!("docker: would {use_it}")), "{said}");
    assert!(
        said.contains("docker: not environment variable DOCKER_HOST: ssh:// is not supported"),
        "{said}"
    );
    assert!(!said.contains("me@builder"), "of an address only its origin is shown: {said}");

    let (code, said) = setup(&world, &["--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("docker: {use_it}")), "{said}");
    assert!(
        world.config().contains(&format!("endpoints.engine = \"{}\"\n", urls[1])),
        "{}",
        world.config()
    );
    // A second time the configuration has it, whatever it is.
    fs::remove_file(&live).expect("the engine is gone");
    let before = world.config();
    let (_, said) = setup(&world, &["--yes"]);
    assert!(said.contains("the configuration has it at"), "{said}");
    assert!(said.contains("there is no such socket"), "{said}");
    assert_eq!(world.config(), before);
}

#[test]
fn an_engine_that_a_mount_would_find_by_itself_needs_no_line() {
    let mut world = World::new();
    let socket = world.omnifs.path("mine.sock");
    let _engine = UnixListener::bind(&socket).expect("a socket");
    world.omnifs = world.omnifs.env("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let (code, said) = setup(&world, &["--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("where a mount looks for it anyway"), "{said}");
    assert!(!world.config().contains("instances.docker"), "{}", world.config());
}

#[test]
fn a_dead_context_is_named_with_what_is_wrong_with_it() {
    let world =
        contexts("old", &[("old", "unix:///no/such/engine.sock"), ("far", "tcp://10.0.0.9:2375")]);
    let (code, said) = setup(&world, &["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    let dead = "docker: not unix:///no/such/engine.sock (context old): there is no such socket\n";
    assert!(said.contains(dead), "{said}");
    assert!(
        said.contains("docker: not context far: plain http is spoken to loopback only"),
        "{said}"
    );
}
