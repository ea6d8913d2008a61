//! Requests to the engine are counted exactly: what is cached is not asked for again.

use crate::{World, read, shell};
use omnifs_support::Container;
use std::sync::{Arc, Barrier};
use std::thread;

#[test]
fn the_first_cat_costs_one_request_and_the_next_none() {
    let Some(world) = World::new("first_cat") else { return };
    let api = world.api();
    api.run(&Container { name: "counted", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let base = mounted.join("docker/containers/by-name/counted");
    assert_eq!(read(&base.join("state")), "running\n");
    let first = world.requests();
    assert_eq!(first.len(), 1, "{first:?}");
    for leaf in ["state", "image", "exit-code", "started", "inspect.json", "restart-count"] {
        read(&base.join(leaf));
    }
    assert_eq!(world.requests(), [""; 0], "everything else came along");
    api.remove("counted").expect("remove");
}

#[test]
fn two_hundred_containers_cost_one_listing_and_one_inspection_each() {
    let Some(world) = World::new("two_hundred") else { return };
    let api = world.api();
    let names: Vec<_> = (0..200).map(|n| format!("many-{n:03}")).collect();
    for name in &names {
        let container = Container { name, labels: &[("team", "infra")], ..Container::default() };
        api.create(&container).expect("create");
    }
    let mounted = world.mount();
    let listing = shell(&mounted.join("docker/containers/by-name"), "ls -l | grep -c many-");
    assert_eq!(crate::stdout(&listing), "200");
    let requests = world.requests();
    assert!(requests.len() <= 2, "{requests:?}");

    let by_name = mounted.join("docker/containers/by-name");
    let labels = shell(&by_name, "cat many-*/labels/team many-*/state | sort | uniq -c");
    let expected = ["200 created", "200 infra"];
    let counted = crate::stdout(&labels);
    assert_eq!(counted.lines().map(str::trim).collect::<Vec<_>>(), expected);
    let requests = world.requests();
    assert!(requests.is_empty(), "the listing held them: {} more", requests.len());
    shell(&by_name, "grep -rc sleep many-* > /dev/null");
    let requests = world.requests();
    assert!(requests.len() <= 200, "{} requests", requests.len());
    shell(&by_name, "grep -rc sleep many-* > /dev/null; ls -lR many-* > /dev/null");
    assert_eq!(world.requests(), [""; 0], "warm");
    drop(mounted);
    for name in &names {
        api.remove(name).expect("remove");
    }
}

#[test]
fn sixty_four_threads_reading_one_cold_file_make_one_request() {
    let Some(world) = World::new("sixty_four") else { return };
    let api = world.api();
    api.run(&Container { name: "crowd", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let file = mounted.join("docker/containers/by-name/crowd/started");
    let start = Arc::new(Barrier::new(64));
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let (file, start) = (file.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                read(&file)
            })
        })
        .collect();
    let contents: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("join")).collect();
    assert!(contents.iter().all(|content| *content == contents[0] && content.ends_with('\n')));
    let requests = world.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    api.remove("crowd").expect("remove");
}

#[test]
fn crawlers_probes_cost_no_request() {
    let Some(world) = World::new("crawlers") else { return };
    let mounted = world.mount();
    for name in [".git", ".DS_Store", "._containers", "Thumbs.db", ".hg"] {
        assert!(!mounted.join("docker/containers/by-name").join(name).exists());
    }
    assert_eq!(world.requests(), [""; 0]);
}
