//! What proves each change in the engine: the rows of the table in SEMANTICS.md. Where it is an event,
//! the change shows soon, and nothing is asked before and after; where it is nothing, the next open asks.

use crate::{SOON, World, await_content, read, shell, stdout};
use omnifs_support::{Container, Mounted, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::PathBuf;

/// A mount of one engine, and what is expected of a change.
struct Proof<'a> {
    world: &'a World,
    docker: PathBuf,
}

impl<'a> Proof<'a> {
    fn new(world: &'a World, mounted: &Mounted<'_>) -> Proof<'a> {
        Proof { world, docker: mounted.join("docker") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.docker.join(path)
    }

    fn lists(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// An event proves it: `shown` says so soon, and from then on without a question.
    fn by_event<T>(&self, what: &str, change: io::Result<T>, shown: impl Fn() -> bool) {
        change.unwrap_or_else(|error| panic!("{what}: {error}"));
        let seen = wait_until(SOON, || shown().then_some(()));
        assert!(seen.is_some(), "{what} does not show");
        // What the engine goes on to say of the same change is waited for.
        let quiet = wait_until(SOON, || {
            self.world.requests();
            (shown() && self.world.requests().is_empty()).then_some(())
        });
        assert!(quiet.is_some(), "{what}: asked although an event would tell");
        assert!(shown(), "{what}");
    }

    /// Nothing proves it: it shows at the next open.
    fn by_asking<T>(&self, what: &str, change: io::Result<T>, shown: impl Fn() -> bool) {
        change.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(shown(), "{what} does not show at once");
        assert!(shown(), "{what} shows once only");
    }

    fn reads(&self, path: &str, expected: &str) -> bool {
        fs::read_to_string(self.path(path)).is_ok_and(|content| content == expected)
    }

    fn holds(&self, directory: &str, name: &str) -> bool {
        self.lists(directory).iter().any(|entry| entry == name)
            && self.path(directory).join(name).exists()
    }

    fn lacks(&self, directory: &str, name: &str) -> bool {
        !self.lists(directory).iter().any(|entry| entry == name)
            && !self.path(directory).join(name).exists()
    }
}

#[test]
fn events_prove_what_a_container_is() {
    let Some(world) = World::new("proof_container") else { return };
    let api = world.api();
    api.create(&Container { name: "p1", restart: "no", ..Container::default() }).expect("create");
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let reads = |leaf: &str, expected: &str| {
        let path = format!("containers/by-name/p1/{leaf}");
        proof.reads(&path, expected)
    };
    assert!(reads("state", "created\n") && proof.lacks("containers/_running", "p1"));

    proof.by_event("start", api.begin("p1"), || {
        reads("status", "Up\n") && proof.holds("containers/_running", "p1")
    });
    let post = |path: &str, body: Value| api.post(path, body);
    // The engine says these before its own listing shows them: whoever lists meanwhile is not misled.
    let by_name = proof.path("containers/by-name");
    let listed = |leaf: &str, expected: &str| {
        shell(&by_name, "ls -l ../_running . > /dev/null");
        reads(leaf, expected)
    };
    for _ in 0..5 {
        let pause = api.call("POST", "/containers/p1/pause", None);
        proof.by_event("pause", pause, || listed("status", "Up (Paused)\n"));
        let unpause = api.call("POST", "/containers/p1/unpause", None);
        proof.by_event("unpause", unpause, || listed("status", "Up\n"));
    }
    let policy = json!({ "RestartPolicy": { "Name": "always" } });
    proof.by_event("update", post("/containers/p1/update", policy), || {
        let inspect = read(&proof.path("containers/by-name/p1/inspect.json"));
        let inspect: Value = serde_json::from_str(&inspect).expect("JSON");
        inspect["HostConfig"]["RestartPolicy"]["Name"] == "always"
    });
    let memory = json!({ "RestartPolicy": { "Name": "no" }, "CpuShares": 512 });
    proof.by_event("update of resources", post("/containers/p1/update", memory), || {
        let inspect = read(&proof.path("containers/by-name/p1/inspect.json"));
        let inspect: Value = serde_json::from_str(&inspect).expect("JSON");
        inspect["HostConfig"]["CpuShares"] == 512
    });
    let leave = json!({ "Container": "p1", "Force": true });
    proof.by_event("disconnect", post("/networks/none/disconnect", leave), || {
        listed("networks", "")
    });
    proof.by_event("rename", api.rename("p1", "p2"), || {
        proof.holds("containers/by-name", "p2") && proof.lacks("containers/by-name", "p1")
    });
    api.rename("p2", "p1").expect("rename");
    await_content(&proof.path("containers/by-name/p1/name"), "p1\n");
    proof.by_event("kill", api.call("POST", "/containers/p1/kill", None), || {
        reads("state", "exited\n")
            && reads("exit-code", "137\n")
            && proof.holds("containers/_stopped", "p1")
            && proof.lacks("containers/_running", "p1")
    });
    let prune = api.call("POST", "/containers/prune", None);
    proof.by_event("prune", prune, || proof.lacks("containers/by-name", "p1"));

    let failing = Container { name: "p3", health: Some("test ! -e /sick"), ..Container::default() };
    proof.by_event("health", api.run(&failing), || {
        proof.reads("containers/by-name/p3/health", "healthy\n")
    });
    api.remove("p3").expect("remove");
    let again = ["sh", "-c", "sleep 0.2; exit 4"];
    let loops =
        Container { name: "p4", command: &again, restart: "on-failure", ..Container::default() };
    api.run(&loops).expect("run");
    let restarted = || {
        let count = fs::read_to_string(proof.path("containers/by-name/p4/restart-count"));
        count.is_ok_and(|count| count.trim().parse::<u32>().is_ok_and(|count| count >= 2))
    };
    assert!(wait_until(SOON, || restarted().then_some(())).is_some(), "a restart does not show");
    api.remove("p4").expect("remove");
}

#[test]
fn nothing_proves_the_networks_of_a_container_that_does_not_run_so_each_open_asks() {
    let Some(world) = World::new("proof_stopped_networks") else { return };
    let api = world.api();
    let network = json!({ "Name": "quiet", "Driver": "bridge" });
    api.post("/networks/create", network).expect("a network");
    api.create(&Container { name: "still", ..Container::default() }).expect("create");
    let leave = json!({ "Container": "still" });
    api.post("/networks/none/disconnect", leave.clone()).expect("leave");
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let networks = "containers/by-name/still/networks";
    shell(&proof.path("containers"), "ls -lR . > /dev/null");
    assert_eq!(read(&proof.path(networks)), "");
    for _ in 0..2 {
        let join = api.post("/networks/quiet/connect", leave.clone());
        proof.by_asking("connect", join, || proof.reads(networks, "quiet\n"));
        let part = api.post("/networks/quiet/disconnect", leave.clone());
        proof.by_asking("disconnect", part, || proof.reads(networks, ""));
    }
    let inspect = read(&proof.path("containers/by-name/still/inspect.json"));
    let inspect: Value = serde_json::from_str(&inspect).expect("JSON");
    assert!(inspect["NetworkSettings"].get("Networks").is_none(), "{inspect}");
    api.remove("still").expect("remove");
    api.call("DELETE", "/networks/quiet", None).expect("remove");
}

#[test]
fn nothing_proves_which_images_there_are_so_each_listing_asks() {
    let Some(world) = World::new("proof_images") else { return };
    let api = world.api();
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let engine = || {
        let images = api.get("/images/json").expect("the engine's images");
        let ids = images.as_array().expect("a list").iter().map(|image| image["Id"].clone());
        let mut ids: Vec<String> = ids.map(|id| id.as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let shown = || {
        let mut ids = proof.lists("images/by-id");
        ids.sort();
        ids
    };
    // Once by path, once from within the directory, where the kernel holds it.
    let within = proof.path("images/by-id");
    let counted = || stdout(&shell(&within, "cat */architecture | wc -l")).parse::<usize>();
    assert_eq!(shown(), engine());
    for (n, buildkit) in [false, true, false, true].into_iter().enumerate() {
        let before = engine();
        shell(&proof.path("images"), "ls -lR . > /dev/null");
        let build = api.build(&format!("untagged{n}"), "", buildkit);
        proof.by_asking("a build without a tag", build, || shown() == engine());
        let made: Vec<String> = engine().into_iter().filter(|id| !before.contains(id)).collect();
        assert_eq!(made.len(), 1, "one image more");
        assert!(proof.holds("images/by-id", &made[0]) && counted() == Ok(engine().len()));
    }
    let prune = api.call("POST", "/images/prune", None);
    proof.by_asking("prune", prune, || shown() == engine());
    assert_eq!(engine().len(), 1);
}

#[test]
fn events_prove_what_an_image_is_called() {
    let Some(world) = World::new("proof_tags") else { return };
    let api = world.api();
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let image = omnifs_support::engine::IMAGE;
    let name = "images/by-name";
    shell(&proof.path(name), "ls -lR . > /dev/null");
    let tags = |of: &str, expected: &str| proof.reads(&format!("{name}/{of}/tags"), expected);
    let tag = api.call("POST", &format!("/images/{image}/tag?repo=other&tag=1"), None);
    proof.by_event("tag", tag, || {
        proof.holds(name, "other:1") && tags(image, &format!("{image}\nother:1\n"))
    });
    for (n, buildkit) in [false, true, true].into_iter().enumerate() {
        let build = api.build(&format!("tagged{n}"), "other:1", buildkit);
        proof.by_event("a build moves a tag", build, || {
            tags(image, &format!("{image}\n"))
                && proof.reads(&format!("{name}/other:1/labels/built"), &format!("tagged{n}\n"))
        });
    }
    let untag = api.call("DELETE", "/images/other:1", None);
    proof.by_event("untag and delete", untag, || proof.lacks(name, "other:1"));
    api.create(&Container { name: "source", ..Container::default() }).expect("create");
    let commit = api.post("/commit?container=source&repo=committed&tag=1", json!({}));
    proof.by_event("commit", commit, || proof.holds(name, "committed:1"));
    api.remove("source").expect("remove");
    api.call("DELETE", "/images/committed:1", None).expect("remove");
    api.call("POST", "/images/prune", None).expect("prune");
}

#[test]
fn events_prove_which_volumes_there_are() {
    let Some(world) = World::new("proof_volumes") else { return };
    let api = world.api();
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let before = proof.lists("volumes");
    proof.by_event("create", api.create_volume("v1"), || proof.holds("volumes", "v1"));
    assert!(proof.reads("volumes/v1/driver", "local\n"));
    let remove = api.call("DELETE", "/volumes/v1", None);
    proof.by_event("remove", remove, || proof.lacks("volumes", "v1"));
    let labelled = json!({ "Name": "v1", "Labels": { "second": "yes" } });
    proof.by_event("create again", api.post("/volumes/create", labelled), || {
        proof.reads("volumes/v1/labels/second", "yes\n")
    });
    let prune = api.call("POST", "/volumes/prune", None);
    proof.by_event("prune", prune, || proof.lacks("volumes", "v1"));
    assert!(proof.lists("volumes").len() <= before.len());
}

#[test]
fn networks_are_listed_anew_and_events_prove_who_is_in_one() {
    let Some(world) = World::new("proof_networks") else { return };
    let api = world.api();
    let mounted = world.mount();
    let proof = Proof::new(&world, &mounted);
    let directory = proof.path("networks");
    shell(&directory, "ls -lR . > /dev/null; cat host/driver > /dev/null");
    let network = json!({ "Name": "n1", "Driver": "bridge", "Labels": { "a": "b" } });
    let create = api.post("/networks/create", network);
    proof.by_asking("create", create, || proof.holds("networks", "n1"));
    assert!(proof.reads("networks/n1/labels/a", "b\n"));
    assert!(proof.reads("networks/n1/containers", ""));
    api.run(&Container { name: "member", ..Container::default() }).expect("run");
    let members = |member: &str, there: bool| {
        // Events that follow each other closely make an open ESTALE (SEMANTICS.md).
        let has = || {
            let members = std::fs::read_to_string(proof.path("networks/none/containers")).ok()?;
            Some(members.lines().any(|line| line == member))
        };
        let seen = wait_until(SOON, || (has()? == there).then_some(()));
        assert!(seen.is_some(), "{member} is a member: {there}");
    };
    members("member", true);
    api.rename("member", "renamed").expect("rename");
    members("renamed", true);
    members("member", false);
    api.post("/networks/none/disconnect", json!({ "Container": "renamed", "Force": true }))
        .expect("disconnect");
    members("renamed", false);
    let prune = api.call("POST", "/networks/prune", None);
    proof.by_asking("prune", prune, || proof.lacks("networks", "n1"));
    api.remove("renamed").expect("remove");
}
