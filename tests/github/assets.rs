//! A release whose assets are larger than any answer may be.

use super::{Wish, World, last_error};
use omnifs_twins::github::{NewRelease, Write};
use std::fs;
use std::path::Path;
use std::process::Command;

const MIB: usize = 1 << 20;

/// Bytes that no part of another place could stand for.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn publish(world: &World, assets: &[(&str, Vec<u8>)]) {
    let made = NewRelease {
        tag: "v9.0.0".into(),
        name: "Nine".into(),
        notes: "Large.".into(),
        prerelease: false,
        assets: assets
            .iter()
            .map(|(name, bytes)| {
                ((*name).to_owned(), "application/octet-stream".to_owned(), bytes.clone())
            })
            .collect(),
    };
    world.twin.publish_release("acme/api", made).expect("a release");
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program} {arguments:?}: {said}");
}

#[test]
fn a_release_of_two_hundred_mebibytes_is_copied_and_packed_whole() {
    let Some(world) = World::demo("assets") else { return };
    let large = content(200 * MIB);
    publish(&world, &[("weights.bin", large.clone()), ("SHA256SUMS", b"none\n".to_vec())]);
    let mounted = world.mount();
    let release = mounted.path().join("github/acme/api/_releases/v9.0.0");
    assert_eq!(
        fs::metadata(release.join("assets/weights.bin")).expect("stat").len(),
        large.len() as u64
    );
    let out = tempfile::tempdir().expect("a directory");
    let copied = out.path().join("copy");
    run("cp", &["-r", &release.display().to_string(), &copied.display().to_string()]);
    assert!(fs::read(copied.join("assets/weights.bin")).expect("the copy") == large);
    let asked = world.requests();
    let api = asked.iter().filter(|line| line.contains("/releases/assets/")).count();
    assert_eq!(api, 2, "one redirect for each asset: {:?}", &asked[..asked.len().min(20)]);
    let parts = asked.iter().filter(|line| line.starts_with("GET /assets/")).count();
    assert_eq!(parts, 200 + 1, "each piece once");
    let archive = out.path().join("release.tar");
    run("tar", &["-C", &release.display().to_string(), "-cf", &archive.display().to_string(), "."]);
    let unpacked = out.path().join("unpacked");
    fs::create_dir(&unpacked).expect("a directory");
    run("tar", &["-C", &unpacked.display().to_string(), "-xf", &archive.display().to_string()]);
    assert!(fs::read(unpacked.join("assets/weights.bin")).expect("unpacked") == large);
    let none = |path: &Path| fs::read(path).expect("read") == b"none\n";
    assert!(none(&release.join("assets/SHA256SUMS")));
    assert!(mounted.status().expect("status")["errors"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn an_asset_that_arrives_damaged_fails_at_its_end_and_is_good_once_it_is() {
    let Some(world) = World::demo("assets-damaged") else { return };
    let right = content(3 * MIB);
    publish(&world, &[("a.bin", right.clone())]);
    world.twin.turn_asset("acme/api", "a.bin").expect("an asset");
    let mounted = world.mount();
    let path = mounted.path().join("github/acme/api/_releases/v9.0.0/assets/a.bin");
    let error = fs::read(&path).expect_err("damaged");
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let said = last_error(&mounted);
    assert!(said["detail"].as_str().is_some_and(|text| text.contains("SHA-256")), "{said}");
    world.twin.turn_asset("acme/api", "a.bin").expect("an asset");
    assert!(fs::read(&path).expect("whole again") == right);
}

#[test]
fn what_is_larger_than_one_answer_may_be_names_the_setting_that_lets_it_through() {
    let wish = Wish { sections: "[limits]\ncontent-size = '2MiB'\n", ..Wish::default() };
    let Some(world) = World::new("content-size", wish) else { return };
    let large = content(3 * MIB);
    let files = [("large.bin", Write::File(&large))];
    world.twin.push("acme/api", "main", &files, "Large").expect("a push");
    let mounted = world.mount();
    let path = "github/acme/api/_tree/main/large.bin";
    let error = fs::read(mounted.path().join(path)).expect_err("too large");
    assert_eq!(error.raw_os_error(), Some(27), "{error}");
    let said = last_error(&mounted);
    let detail = said["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("content-size in [limits] raises that"), "{said}");
}
