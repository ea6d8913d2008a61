//! What git itself packs, read and compared with what git says of it.

use super::{Objects, read};
use crate::pack::Limits;
use crate::{Format, Kind};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Repository(PathBuf);

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Repository {
    /// Of 40 commits over files that change a little each time. Nothing where there is no git, which is said.
    fn new(name: &str, format: &str) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            println!("DID NOT RUN {name}: there is no git");
            return None;
        }
        let path = std::env::temp_dir().join(format!("gitpack-{name}-{}", std::process::id()));
        let repository = Repository(path);
        std::fs::create_dir_all(&repository.0).unwrap();
        repository.git(&["init", "-q", "--object-format", format], b"");
        let mut input = String::new();
        for commit in 0..40 {
            let at = format!("committer A <a@example.org> {} +0000\n", 1_700_000_000 + commit);
            input += &format!("commit refs/heads/main\n{at}data 4\nnote\n");
            for file in 0..5 {
                let text = format!("file {file}\n").repeat(200 + file)
                    + &format!("{commit}\n").repeat(commit);
                input += &format!(
                    "M 100644 inline d{}/f{file}\ndata {}\n{text}\n",
                    file % 2,
                    text.len()
                );
            }
        }
        input += "tag v1\nfrom refs/heads/main\ntagger A <a@example.org> 1700000000 +0000\ndata 3\ntag\n";
        repository.git(&["fast-import", "--quiet"], input.as_bytes());
        Some(repository)
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&self.0).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (git.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = git.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        output.stdout
    }

    fn pack(&self, options: &[&str]) -> Vec<u8> {
        let all =
            self.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"], b"");
        let arguments = [&["pack-objects", "--stdout", "-q", "--no-reuse-delta"], options].concat();
        self.git(&arguments, &all)
    }

    fn objects(&self) -> Objects {
        let all = self.git(&["cat-file", "--batch-all-objects", "--batch"], b"");
        let (mut objects, mut rest) = (Objects::new(), &all[..]);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let header = String::from_utf8(rest[..end].to_vec()).unwrap();
            let [id, kind, size] = header.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{header}")
            };
            let size: usize = size.parse().unwrap();
            let kinds = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];
            let kind = kinds.into_iter().find(|known| known.name() == kind).unwrap();
            objects.insert(id.to_owned(), (kind, rest[end + 1..end + 1 + size].to_vec()));
            rest = &rest[end + 2 + size..];
        }
        objects
    }
}

fn compare(name: &str, format: Format) {
    let Some(repository) = Repository::new(name, format.name()) else { return };
    let expected = repository.objects();
    assert!(expected.len() > 200);
    for options in
        [&["--delta-base-offset"][..], &[], &["--depth=0"], &["--depth=4000", "--window=300"]]
    {
        let pack = repository.pack(options);
        for bases in [0, 4 << 10, 32 << 20] {
            let limits = Limits { bases, ..Limits::default() };
            let found = read(&pack, format, &limits).unwrap();
            assert!(found == expected, "{options:?} with {bases} bytes for bases");
        }
    }
}

#[test]
fn every_object_of_a_pack_is_what_git_says_it_is() {
    compare("sha1", Format::Sha1);
}

#[test]
fn every_object_of_a_pack_with_sha256_is_what_git_says_it_is() {
    compare("sha256", Format::Sha256);
}

#[test]
fn a_pack_that_lacks_the_base_of_a_delta_is_refused() {
    let Some(repository) = Repository::new("thin", "sha1") else { return };
    let thin =
        repository.git(&["pack-objects", "--thin", "--stdout", "-q", "--revs"], b"main\n^main~1\n");
    assert!(read(&thin, Format::Sha1, &Limits::default()).is_err());
    assert!(Path::new(&repository.0).is_dir());
}
