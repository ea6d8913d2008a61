//! Requests to the engine are counted exactly: what is cached is not asked for again.

use crate::{SOON, World, read, shell, stdout};
use omnifs_support::{Container, wait_until};
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
    assert_eq!(stdout(&listing), "200");
    let requests = world.requests();
    assert!(requests.len() <= 2, "{requests:?}");

    let by_name = mounted.join("docker/containers/by-name");
    let labels = shell(&by_name, "cat many-*/labels/team many-*/state | sort | uniq -c");
    let expected = ["200 created", "200 infra"];
    let counted = stdout(&labels);
    assert_eq!(counted.lines().map(str::trim).collect::<Vec<_>>(), expected);
    let requests = world.requests();
    assert!(requests.is_empty(), "the listing held them: {} more", requests.len());
    shell(&by_name, "grep -rc sleep many-* > /dev/null");
    let (inspections, logs) = kinds(&world.requests());
    assert!((200..=400).contains(&inspections), "{inspections}: and once more for its networks");
    assert_eq!(logs, 0, "what never ran has no log to ask for");
    shell(&by_name, "grep -rc sleep many-* > /dev/null");
    let (inspections, logs) = kinds(&world.requests());
    assert!(inspections <= 200 && logs == 0, "{inspections}: warm, their networks aside");
    drop(mounted);
    for name in &names {
        api.remove(name).expect("remove");
    }
}

/// The requests of each kind for containers: inspections and logs.
fn kinds(requests: &[String]) -> (usize, usize) {
    let count = |kind: &str| requests.iter().filter(|path| path.contains(kind)).count();
    let (inspections, logs) = (count("/json"), count("/logs?"));
    assert_eq!(inspections + logs, requests.len(), "{requests:?}");
    (inspections, logs)
}

#[test]
fn grep_r_costs_three_requests_where_a_container_has_ended_and_four_where_it_runs() {
    let Some(world) = World::new("grep_r") else { return };
    let api = world.api();
    let talk = ["sh", "-c", "echo needle; echo needle >&2"];
    let stay = ["sh", "-c", "echo needle; echo needle >&2; sleep 3600"];
    let ended: Vec<_> = (0..20).map(|n| format!("ended-{n:02}")).collect();
    let running: Vec<_> = (0..5).map(|n| format!("running-{n:02}")).collect();
    for name in &ended {
        api.run(&Container { name, command: &talk, ..Container::default() }).expect("run");
        api.wait(name).expect("wait");
    }
    for name in &running {
        api.run(&Container { name, command: &stay, ..Container::default() }).expect("run");
        let said = || api.logs(name).ok().filter(|log| log.len() == 2 * "needle\n".len());
        assert!(wait_until(SOON, said).is_some(), "{name} says nothing");
    }
    let mounted = world.mount();
    let by_name = mounted.join("docker/containers/by-name");
    assert_eq!(stdout(&shell(&by_name, "ls | wc -l")), "25");
    assert_eq!(world.requests(), ["/containers/json?all=1"]);

    // 2 lines in `logs`, 1 in each stream's file, 1 in `command`, 2 in `inspect.json`.
    let found = "grep -r needle PLACES | wc -l";
    let walk = |places: &str| stdout(&shell(&by_name, &found.replace("PLACES", places)));
    let cold = walk("ended-*");
    let (inspections, logs) = kinds(&world.requests());
    assert!((20..=40).contains(&inspections), "{inspections}: and once more for its networks");
    assert_eq!(logs, 20, "one log each");
    assert!(cold.parse::<usize>().expect("a number") >= 20 * 5, "{cold}");
    assert_eq!(walk("ended-*"), cold);
    let (inspections, logs) = kinds(&world.requests());
    assert!(inspections <= 20 && logs == 0, "{inspections}: warm, their networks aside");

    let cold = walk("running-*");
    assert_eq!(kinds(&world.requests()), (5, 15), "and a stream for each of three logs");
    assert_eq!(walk("running-*"), cold);
    assert_eq!(world.requests(), [""; 0], "warm: the streams are held");
    drop(mounted);
    for name in ended.iter().chain(&running) {
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
    let by_name = mounted.join("docker/containers/by-name");
    // Names that no container can have.
    for name in [".git", ".DS_Store", "._containers", ".hg"] {
        assert!(!by_name.join(name).exists());
    }
    assert_eq!(world.requests(), [""; 0]);
    // One could have this one, but for what was listed.
    shell(&by_name, "ls > /dev/null");
    world.requests();
    assert!(!by_name.join("Thumbs.db").exists());
    assert_eq!(world.requests(), [""; 0]);
}
