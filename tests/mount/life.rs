//! A mount from its first moment to its last, and how a provider gets into it.

use omnifs_support::mount::is_mounted;
use omnifs_support::tools::list;
use omnifs_support::{component, home, provider};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

#[test]
fn a_mount_goes_to_the_background_when_it_answers_and_unmount_ends_it() {
    let Some(omnifs) = home("background") else { return };
    let point = omnifs.mount_point();
    let [flag, hello] = provider("hello");
    let text = point.to_string_lossy().into_owned();
    let ran = omnifs.run(&["mount", &text, &flag, &hello]).expect("run");
    assert!(ran.status.success(), "{}", ran.stderr);
    let greeting = fs::read_to_string(point.join("hello/hello.txt"));
    assert_eq!(greeting.expect("it answers at once"), "Hello, world!\n");
    let again = omnifs.run(&["mount", &text]).expect("run");
    assert_eq!(again.status.code(), Some(4), "already mounted: {}", again.stderr);
    assert!(again.stderr.contains("unmount"), "{}", again.stderr);
    let ran = omnifs.run(&["unmount", &text]).expect("run");
    assert!(ran.status.success(), "{}", ran.stderr);
    assert!(!is_mounted(&point));
}

#[test]
fn what_a_killed_process_left_mounted_is_repaired_by_the_next_mount() {
    let Some(omnifs) = home("killed") else { return };
    let mounted = omnifs.mount(&provider("hello")).expect("mount");
    let inode = fs::metadata(mounted.join("hello/hello.txt")).expect("stat").ino();
    mounted.kill();
    let point = omnifs.mount_point();
    assert!(is_mounted(&point), "a killed process leaves its mount");
    let mounted = omnifs.mount(&provider("hello")).expect("mount again");
    assert_eq!(fs::metadata(mounted.join("hello/hello.txt")).expect("stat").ino(), inode);
    assert!(mounted.unmount());
}

#[test]
fn a_component_dropped_into_the_directory_mounts_once_it_is_approved() {
    let Some(omnifs) = home("approved") else { return };
    let directory = omnifs.path("data/omnifs/providers");
    fs::create_dir_all(&directory).expect("mkdir");
    fs::copy(component("hello"), directory.join("hello.wasm")).expect("copy");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let error = list(&mounted.join("hello")).expect_err("nobody approved it");
    assert_eq!(error.raw_os_error(), Some(5));
    assert!(mounted.log().contains("providers add"), "{}", mounted.log());
    assert!(mounted.unmount());

    let file = directory.join("hello.wasm").to_string_lossy().into_owned();
    let ran = omnifs.run(&["providers", "add", &file, "--yes"]).expect("run");
    assert!(ran.status.success(), "{}{}", ran.stdout, ran.stderr);
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let greeting = fs::read_to_string(mounted.join("hello/hello.txt"));
    assert_eq!(greeting.expect("approved"), "Hello, world!\n");
    assert!(mounted.unmount());

    // So is what they say they want.
    let config = omnifs.path("config/omnifs/config.toml");
    let granted = fs::read_to_string(&config).expect("the configuration");
    let (before, digest) = granted.split_once("asks = \"sha256:").expect("a digest");
    let other = format!("{before}asks = \"sha256:{:0>64}{}", "", &digest[64..]);
    fs::write(&config, other).expect("write");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    assert!(list(&mounted.join("hello")).is_err(), "it asks for something else");
    let log = mounted.log();
    assert!(log.contains("asks for something else than was approved"), "{log}");
    assert!(mounted.unmount());
    fs::write(&config, granted).expect("write");

    // Other bytes are another approval.
    let mut bytes = fs::read(component("hostile")).expect("read");
    bytes.push(0);
    fs::write(directory.join("hello.wasm"), bytes).expect("write");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    assert!(list(&mounted.join("hello")).is_err(), "the file was changed");
}

#[test]
fn each_signal_unmounts_and_ends_the_process() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(omnifs) = home("signals") else { return };
        let mut mounted = omnifs.mount::<&str>(&[]).expect("mount");
        mounted.signal(signal);
        let ended = mounted.ended(Duration::from_secs(60));
        assert!(ended.is_some_and(|status| status.success()), "{signal:?}: {ended:?}");
        assert!(!is_mounted(&omnifs.mount_point()), "{signal:?}");
    }
}

#[test]
fn omnifs_alone_says_what_is_mounted_and_unmount_all_ends_it() {
    let Some(omnifs) = home("overview") else { return };
    let ran = omnifs.run::<&str>(&[]).expect("run");
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("Nothing is mounted") && ran.stdout.contains("omnifs demo"));
    let second = omnifs.path("second place");
    fs::create_dir(&second).expect("mkdir");
    let mounts = [
        omnifs.mount(&provider("hello")).expect("mount"),
        omnifs.mount_at(&second, &provider("hello")).expect("mount"),
    ];
    let ran = omnifs.run::<&str>(&[]).expect("run");
    for point in [&omnifs.mount_point(), &second] {
        assert!(ran.stdout.contains(&*point.to_string_lossy()), "{ran:?}");
    }
    assert!(ran.stdout.contains("omnifs auth login github"), "what is missing: {ran:?}");
    let ran = omnifs.run(&["unmount", "--all"]).expect("run");
    assert!(ran.status.success(), "{ran:?}");
    assert!(!is_mounted(&omnifs.mount_point()) && !is_mounted(&second));
    drop(mounts);
    let ran = omnifs.run(&["umount", "--all"]).expect("run");
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
}
