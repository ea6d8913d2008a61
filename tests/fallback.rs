//! The component that the fallback route builds (Debian's compiler, no WASI) does what the other one
//! does: it mounts, and shows a real engine.

#![cfg(target_os = "linux")]

use omnifs_support::{Container, Engine, Omnifs, skip};
use std::path::PathBuf;

#[test]
fn the_component_built_by_the_fallback_route_shows_a_real_container() {
    const NAME: &str = "the fallback component";
    let Some(folder) = std::env::var_os("OMNIFS_COMPONENTS_FALLBACK").map(PathBuf::from) else {
        return skip(NAME, "OMNIFS_COMPONENTS_FALLBACK is not set: `cargo xtask test` builds it");
    };
    let component = folder.join("docker.wasm");
    if let Some(reason) = Omnifs::unavailable() {
        return skip(NAME, &reason);
    }
    let Some(engine) = Engine::shared(NAME) else { return };
    let api = engine.api();
    let id = api.run(&Container { name: "by-fallback", ..Container::default() }).expect("run");

    let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &engine.host());
    let provider = format!("second={}", component.display());
    let mounted = omnifs.mount(&["--provider", &provider]).expect("mount");
    let container = mounted.join("second/containers/by-name/by-fallback");
    let read = |leaf: &str| {
        let file = container.join(leaf);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    assert_eq!(read("state"), "running\n");
    assert_eq!(read("id"), format!("{id}\n"));
    // A name that is not there is the provider's own answer, and no trap.
    let absent = mounted.join("second/containers/by-name/absent/state");
    let error = std::fs::read(absent).expect_err("absent");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(mounted.unmount());
    api.remove("by-fallback").expect("remove");
}
