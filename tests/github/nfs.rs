//! The same tree by NFS: `omnifs serve nfs` beside a FUSE mount, read by libnfs's programs.

use super::{Wish, World};
use omnifs_support::{program, skip, tied, wait_until};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

/// Both start a process of their own, which compiles the component when it is the first.
const READY: Duration = Duration::from_secs(90);

/// Ends the server with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        tied::stop(&mut self.0, Duration::from_secs(5));
    }
}

pub struct Export {
    port: String,
    name: String,
    _serving: Serving,
}

impl Export {
    pub fn start(world: &World) -> Export {
        let file = world.omnifs.path("serve.out");
        let output = File::create(&file).expect("a file");
        let mut command = world.omnifs.command();
        command.args(["serve", "nfs"]).stdout(output.try_clone().expect("a copy")).stderr(output);
        let serving = Serving(tied::spawn(command).expect("serve"));
        let said = || {
            let text = fs::read_to_string(&file).ok()?;
            let line = text.lines().find(|line| line.trim().starts_with("sudo mount -t nfs"))?;
            Some(line.trim().to_owned())
        };
        let line = wait_until(READY, said)
            .unwrap_or_else(|| panic!("{}", fs::read_to_string(&file).unwrap_or_default()));
        let option = |name: &str| {
            let options = line.split([' ', ',']);
            options.into_iter().find_map(|word| word.strip_prefix(name)).expect(name).to_owned()
        };
        Export { port: option("port="), name: option("127.0.0.1:"), _serving: serving }
    }

    /// What one of libnfs's programs says of a path.
    fn ask(&self, tool: &str, path: &str) -> Vec<u8> {
        let output = self.run(tool, path);
        assert!(output.status.success(), "{tool} {path}: {output:?}");
        output.stdout
    }

    pub fn run(&self, tool: &str, path: &str) -> Output {
        let uid = rustix::process::geteuid().as_raw();
        let Export { port, name, .. } = self;
        let options = format!("nfsport={port}&mountport={port}&uid={uid}&gid={uid}");
        Command::new(tool)
            .arg(format!("nfs://127.0.0.1{name}/{path}?{options}"))
            .output()
            .expect(tool)
    }

    /// Each name of a directory with its kind and size.
    fn list(&self, path: &str) -> BTreeMap<String, (char, u64)> {
        let said = String::from_utf8(self.ask("nfs-ls", path)).expect("UTF-8");
        let entries = said.lines().map(|line| {
            // Mode, links, uid, gid, size, name.
            let words: Vec<&str> = line.split_whitespace().collect();
            let kind = line.chars().next().expect("a mode");
            let name = words[5..].join(" ");
            (name, (kind, words[4].parse().expect("a size")))
        });
        entries.collect()
    }
}

/// Compares a directory and all below it; how many entries there are.
fn compare(export: &Export, root: &Path, below: &str) -> usize {
    let listed = export.list(below);
    let mut seen = BTreeMap::new();
    let mut count = 0;
    for entry in fs::read_dir(root.join(below)).expect("a listing") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let path = format!("{below}/{name}");
        let found = fs::symlink_metadata(root.join(&path)).expect("stat");
        let kind = match found.file_type() {
            kind if kind.is_dir() => 'd',
            kind if kind.is_symlink() => 'l',
            _ => '-',
        };
        seen.insert(name, (kind, found.size()));
        count += 1;
        match kind {
            'd' => count += compare(export, root, &path),
            '-' => {
                let bytes = fs::read(root.join(&path)).expect("read");
                assert!(export.ask("nfs-cat", &path) == bytes, "{path} differs");
            }
            _ => {}
        }
    }
    assert_eq!(listed, seen, "{below}");
    count
}

#[test]
fn the_tree_by_nfs_is_that_of_the_mount_byte_for_byte_and_name_for_name() {
    let test = "the_tree_by_nfs_is_that_of_the_mount_byte_for_byte_and_name_for_name";
    if program("nfs-ls").is_none() {
        return skip(test, "nfs-ls is missing: apt-get install libnfs-utils");
    }
    let Some(world) = World::new(test, Wish::default()) else { return };
    let mounted = world.mount();
    let export = Export::start(&world);
    let count = compare(&export, mounted.path(), "github/acme");
    assert!(count > 50, "{count} entries");
}
