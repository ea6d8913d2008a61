//! Another component in the place of the one that runs: its feeds go on.

use crate::{OFTEN, SOON, Wish, World, await_scope};
use omnifs_support::component;
use omnifs_support::tools::{await_content, read};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn the_feeds_of_a_component_that_takes_anothers_place_tell_of_changes() {
    let Some(world) = World::new("replaced", Wish { polls: Some(OFTEN), ..Wish::default() }) else {
        return;
    };
    let file = world.omnifs.path("hub.wasm");
    let add = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("write");
        let file = file.to_str().expect("UTF-8");
        let ran = world.omnifs.run(&["providers", "add", file, "--name", "hub", "--yes"]);
        assert!(ran.as_ref().is_ok_and(|ran| ran.status.success()), "{ran:?}");
    };
    let mut bytes = fs::read(component("github")).expect("a component");
    let config = world.omnifs.path("config/omnifs/config.toml");
    let text = read(&config).replace("instances.github", "instances.hub");
    let off = "\n[instances.github]\nenabled = false\n";
    world.omnifs.config(&(text + off)).expect("a configuration");
    add(&bytes);
    let mounted = world.mount();
    let title = mounted.join("hub/acme/api/_issues/_open/2853/title");
    let first = read(&title);
    await_scope(&mounted, "issues:", "live");
    let inode = fs::metadata(&title).expect("attributes").ino();

    // The same with a section that means nothing: its bytes are others.
    bytes.extend(*b"\0\x06\x05again");
    add(&bytes);
    let reloaded = world.omnifs.run(&["reload", "--json"]).expect("reload");
    assert!(reloaded.stdout.contains("\"applied\":[\"instances.hub.grant\"]"), "{reloaded:?}");
    world.requests();
    assert_eq!(read(&title), first);
    assert_ne!(world.requests(), [""; 0], "it was asked again");
    assert_eq!(fs::metadata(&title).expect("attributes").ino(), inode);
    await_scope(&mounted, "issues:", "live");
    world.twin.retitle("acme/api", 2853, "Told by the new one").expect("retitle");
    await_content(&title, "Told by the new one\n", SOON);
    assert_eq!(fs::metadata(&title).expect("attributes").ino(), inode);
}
