//! A Linux kernel as the client, in a virtual machine.

mod inside;
mod machine;

use crate::fixture::{Fixture, eventually};
use machine::Machine;
use omnifs_platform::conformance::{self, tree};
use omnifs_platform::memory::{Memory, New, ROOT};
use std::collections::HashSet;

/// In the guest everything is root's.
const ROOT_USER: u32 = 0;

/// The test that the guest runs; here it does nothing.
#[test]
fn commands_are_taken_in_the_guest() {
    if let Ok(control) = std::env::var(inside::CONTROL) {
        inside::obey(&control);
    }
}

fn boot() -> Option<Machine> {
    Machine::boot("guest::commands_are_taken_in_the_guest")
}

fn conform(machine: &mut Machine) {
    let said = machine.run(&["conform"]).unwrap();
    let mut lines = said.split('\t');
    println!("in {}", lines.next().unwrap());
    let lines: Vec<&str> = lines.collect();
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines.len(), conformance::names().count());
    let failed: Vec<_> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn conforms_with(options: &str) {
    let Some(mut machine) = boot() else { return };
    let memory = Memory::new();
    tree::plant(&memory).unwrap();
    let fixture = Fixture::with(memory, ROOT_USER);
    let server = fixture.server();
    machine.mount(server.port(), &server.export(), options);
    let _churn = tree::Churn::start(fixture.memory.clone()).unwrap();
    conform(&mut machine);
    machine.run(&["unmount"]).unwrap();
}

#[test]
fn the_standard_tree_conforms_in_a_linux_kernel_with_readdirplus() {
    conforms_with("");
}

#[test]
fn the_standard_tree_conforms_in_a_linux_kernel_with_plain_readdir_and_small_reads() {
    conforms_with(",nordirplus,rsize=4096");
}

/// Where somebody else may write above the mount point of root.
#[test]
fn a_mount_point_whose_parent_is_swapped_all_the_time_is_the_directory_that_was_judged() {
    let Some(mut machine) = boot() else { return };
    let said = machine.run(&["swapped"]).unwrap();
    let mounted: u32 = said.split('\t').next().unwrap().parse().unwrap();
    println!("mounted, refused: {said:?}");
    assert!(mounted > 0);
}

#[test]
fn changes_reach_a_linux_kernel_and_its_files_survive_a_restart() {
    let Some(mut machine) = boot() else { return };
    let mut fixture = Fixture::with(Memory::new(), ROOT_USER);
    let memory = fixture.memory.clone();
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    let file = memory.add(directory, "f", New::file("content 0")).unwrap();
    let held = memory.add(directory, "held", New::file("held ".repeat(5000))).unwrap();
    machine.mount(fixture.server().port(), &fixture.server().export(), "");

    // The same length, and times that differ by nanoseconds: a new open sees it.
    let mut times: Vec<u64> = (0..10)
        .map(|round| {
            let content = format!("content {round}");
            memory.set_content(file, content.clone()).unwrap();
            machine.run(&["until", "d/f", &content]).unwrap().parse().unwrap()
        })
        .collect();
    // Half of them: whoever shares the machine may hold up any one.
    times.sort_unstable();
    assert!(times[4] <= 1100, "{times:?} ms");
    // So are names that come and go.
    let names = |machine: &mut Machine| -> HashSet<String> {
        machine.run(&["list", "d"]).unwrap().split('\t').map(String::from).collect()
    };
    assert_eq!(names(&mut machine).len(), 2);
    assert_eq!(machine.run(&["read", "d/new"]), Err(libc::ENOENT));
    memory.add(directory, "new", New::file("new")).unwrap();
    assert_eq!(machine.run(&["until", "d/new", "new"]).map(drop), Ok(()));
    eventually("the listing", || names(&mut machine).len() == 3);

    // An open file goes on over a restart of the server.
    machine.run(&["hold", "d/held"]).unwrap();
    let whole = machine.run(&["held"]);
    fixture.restart();
    assert_eq!(machine.run(&["held"]), whole);
    assert_eq!(machine.run(&["read", "d/f"]).unwrap(), "content 9");

    // A deleted one does not, also when another object has its name.
    assert_eq!(memory.find("d/held").unwrap(), held);
    memory.remove(directory, "held").unwrap();
    memory.add(directory, "held", New::file("another's")).unwrap();
    eventually("the change", || machine.run(&["held"]) == Err(libc::ESTALE));
    assert_eq!(machine.run(&["until", "d/held", "another's"]).map(drop), Ok(()));
    assert_eq!(machine.run(&["held"]), Err(libc::ESTALE));
    machine.run(&["drop"]).unwrap();
    machine.run(&["unmount"]).unwrap();
    fixture.stop();
}
