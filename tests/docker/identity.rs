//! One container at two places is one object.

use crate::{World, await_content, await_live, read, shell, stdout};
use omnifs_support::Container;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

#[test]
fn by_name_and_by_id_are_one_inode_and_pwd_stays_in_each() {
    let Some(world) = World::new("one_inode") else { return };
    let api = world.api();
    let id = api.run(&Container { name: "twice", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let places = [
        mounted.join("docker/containers/by-name/twice"),
        mounted.join("docker/containers/by-id").join(&id),
        mounted.join("docker/containers/_running/twice"),
    ];
    let inodes: Vec<_> = places.iter().map(|p| fs::metadata(p).expect("stat").ino()).collect();
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
    let leaves: Vec<_> =
        places.iter().map(|p| fs::metadata(p.join("state")).expect("stat").ino()).collect();
    assert!(leaves.iter().all(|inode| *inode == leaves[0]), "{leaves:?}");
    for place in &places {
        assert_eq!(stdout(&shell(place, "/bin/pwd")), place.to_string_lossy());
    }
    // Once more with both open at a time: neither moves the other.
    let [first, second, _] = &places;
    let line = format!("cd '{}'; /bin/pwd; cd -P . && /bin/pwd", second.display());
    let output = stdout(&shell(first, &line));
    assert_eq!(output.lines().collect::<Vec<_>>(), [second.to_str().expect("UTF-8"); 2]);
    assert_eq!(stdout(&shell(first, "/bin/pwd")), first.to_string_lossy());
    api.remove("twice").expect("remove");
}

#[test]
fn four_finds_over_both_places_see_no_error_in_a_hundred_rounds() {
    let Some(world) = World::new("four_finds") else { return };
    let api = world.api();
    let id = api.run(&Container { name: "walked", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let base = mounted.join("docker/containers");
    let line = format!(
        "for n in $(seq 100); do find by-name/walked by-id/{id} -ls > /dev/null || exit 1; done"
    );
    let walkers: Vec<_> = (0..4)
        .map(|_| {
            Command::new("timeout")
                .args(["240", "bash", "-c", &line])
                .current_dir(&base)
                .stderr(Stdio::piped())
                .spawn()
                .expect("find")
        })
        .collect();
    for walker in walkers {
        let output = walker.wait_with_output().expect("wait");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{errors}");
    }
    api.remove("walked").expect("remove");
}

#[test]
fn docker_rename_keeps_the_inode_and_a_file_held_open_still_reads() {
    let Some(world) = World::new("rename") else { return };
    let api = world.api();
    api.run(&Container { name: "before", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let by_name = mounted.join("docker/containers/by-name");
    let inode = fs::metadata(by_name.join("before")).expect("stat").ino();
    let image = read(&by_name.join("before/image"));
    let mut held = File::open(by_name.join("before/image")).expect("open");
    let held_name = File::open(by_name.join("before/name")).expect("open");
    let directory = File::open(by_name.join("before")).expect("open directory");
    api.rename("before", "after").expect("rename");
    await_content(&by_name.join("after/name"), "after\n");
    assert_eq!(fs::metadata(by_name.join("after")).expect("stat").ino(), inode);
    assert_eq!(directory.metadata().expect("fstat").ino(), inode);
    assert!(!by_name.join("before").exists(), "the old name is gone");
    let mut content = String::new();
    held.read_to_string(&mut content).expect("read");
    assert_eq!(content, image);
    let mut snapshot = String::new();
    (&held_name).read_to_string(&mut snapshot).expect("read");
    assert_eq!(snapshot, "before\n", "an open file keeps what it opened");
    assert_eq!(
        held_name.metadata().expect("fstat").ino(),
        fs::metadata(by_name.join("after/name")).expect("stat").ino()
    );
    let through = format!("/proc/self/fd/{}/name", std::os::fd::AsRawFd::as_raw_fd(&directory));
    assert_eq!(fs::read_to_string(through).expect("below the open directory"), "after\n");
    api.remove("after").expect("remove");
}

#[test]
fn inodes_are_the_same_after_a_remount() {
    let Some(world) = World::new("remount") else { return };
    let api = world.api();
    api.create(&Container { name: "stays", ..Container::default() }).expect("create");
    let inode = |mounted: &omnifs_support::Mounted<'_>| {
        let path = mounted.join("docker/containers/by-name/stays/state");
        fs::metadata(path).expect("stat").ino()
    };
    let mounted = world.mount();
    let before = inode(&mounted);
    assert!(mounted.unmount(), "a clean unmount");
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount again");
    await_live(&mounted);
    assert_eq!(inode(&mounted), before);
    drop(mounted);
    api.remove("stays").expect("remove");
}
