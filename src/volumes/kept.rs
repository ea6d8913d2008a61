//! The volumes, and who uses them, in a file: a plugin and an engine that start again find what was there.

use super::{Below, Error};
use crate::paths;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// More than anybody makes by hand, and few enough that the file stays small.
const MOST: usize = 10_000;
const LONGEST_NAME: usize = 128;

/// A directory below the mount under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub path: Below,
    /// The directory that each use got, by what the engine calls it.
    #[serde(default)]
    used_by: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The run of the system that the uses are of: after the next boot nothing is in use.
    boot: String,
    volumes: BTreeMap<String, Volume>,
}

/// All volumes of one socket, and the right to change them.
#[derive(Debug)]
pub struct Kept {
    file: PathBuf,
    content: Content,
    _lock: File,
}

impl Kept {
    /// Reads `KEY.json` in the directory, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Taken`] where another process has it, [`Error::Damaged`] where it is not what was written.
    pub fn open(directory: &Path, key: &str) -> Result<Kept, Error> {
        let file = directory.join(format!("{key}.json"));
        let fail = |source| Error::Unkept { path: file.clone(), source };
        paths::private_dir(directory).map_err(fail)?;
        let mut options = paths::private_file();
        options.write(true).create(true).truncate(false);
        let lock = options.open(directory.join(format!("{key}.lock"))).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Taken(file)),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        let mut content = match paths::read_regular(&file) {
            Ok(bytes) => serde_json::from_slice::<Content>(&bytes)
                .map_err(|why| Error::Damaged { path: file.clone(), why: why.to_string() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(fail(error)),
        };
        if content.boot != boot {
            content.volumes.values_mut().for_each(|volume| volume.used_by.clear());
            content.boot = boot;
        }
        Ok(Kept { file, content, _lock: lock })
    }

    /// Every volume by its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Volume)> {
        self.content.volumes.iter().map(|(name, volume)| (name.as_str(), volume))
    }

    pub fn get(&self, name: &str) -> Result<&Volume, Error> {
        self.content.volumes.get(name).ok_or_else(|| Error::Unknown(shown(name)))
    }

    /// Makes a volume. The same one may be made again: an engine repeats what it had no answer to.
    pub fn create(&mut self, name: &str, path: Below) -> Result<(), Error> {
        check_name(name)?;
        match self.content.volumes.get(name) {
            Some(volume) if volume.path == path => return Ok(()),
            Some(volume) => {
                let path = volume.path.to_string();
                return Err(Error::Exists { name: name.to_owned(), path });
            }
            None if self.content.volumes.len() >= MOST => return Err(Error::TooMany(MOST)),
            None => {}
        }
        self.change(|volumes| {
            volumes.insert(name.to_owned(), Volume { path, used_by: BTreeMap::new() });
        })
    }

    /// Removes one that nobody uses. `is_bound` says whether a directory that was not given back is in use still: an
    /// engine that was killed gives nothing back.
    pub fn remove(&mut self, name: &str, is_bound: impl Fn(&Path) -> bool) -> Result<(), Error> {
        let volume = self.get(name)?;
        if volume.used_by.values().any(|at| is_bound(at)) {
            return Err(Error::InUse(name.to_owned()));
        }
        self.change(|volumes| drop(volumes.remove(name)))
    }

    /// Notes that a user has got the directory `at`. The same one counts once.
    pub fn take(&mut self, name: &str, user: &str, at: &Path) -> Result<(), Error> {
        if self.get(name)?.used_by.get(user).is_some_and(|had| had == at) {
            return Ok(());
        }
        self.change(|volumes| {
            if let Some(volume) = volumes.get_mut(name) {
                volume.used_by.insert(user.to_owned(), at.to_owned());
            }
        })
    }

    /// Forgets a use. One that nobody knows is none.
    pub fn give_back(&mut self, name: &str, user: &str) -> Result<(), Error> {
        if !self.get(name)?.used_by.contains_key(user) {
            return Ok(());
        }
        self.change(|volumes| {
            if let Some(volume) = volumes.get_mut(name) {
                volume.used_by.remove(user);
            }
        })
    }

    /// What cannot be written has not happened.
    fn change(&mut self, how: impl FnOnce(&mut BTreeMap<String, Volume>)) -> Result<(), Error> {
        let mut next = self.content.clone();
        how(&mut next.volumes);
        let fail = |source| Error::Unkept { path: self.file.clone(), source };
        let text = serde_json::to_vec_pretty(&next).map_err(|error| fail(error.into()))?;
        paths::replace(&self.file, &text).map_err(fail)?;
        self.content = next;
        Ok(())
    }
}

/// As the engine itself has names of volumes: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && name.chars().all(good) && name.len() <= LONGEST_NAME {
        true => Ok(()),
        false => Err(Error::Name(shown(name))),
    }
}

/// What a request says, for a message.
pub(super) fn shown(text: &str) -> String {
    crate::logs::printable(&text.chars().take(LONGEST_NAME).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(path: &str) -> Below {
        Below::new(path).unwrap()
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_uses_after_no_reboot() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("volumes");
        let mut kept = Kept::open(&directory, "k").unwrap();
        kept.create("acme", below("m/acme")).unwrap();
        kept.take("acme", "one", Path::new("/m")).unwrap();
        assert!(matches!(Kept::open(&directory, "k"), Err(Error::Taken(_))));
        drop(kept);
        let mut kept = Kept::open(&directory, "k").unwrap();
        assert_eq!(kept.get("acme").unwrap().path, below("m/acme"));
        assert!(matches!(kept.remove("acme", |_| true), Err(Error::InUse(_))));
        kept.content.boot = "another".into();
        kept.take("acme", "two", Path::new("/m")).unwrap();
        drop(kept);
        let mut kept = Kept::open(&directory, "k").unwrap();
        kept.remove("acme", |_| true).unwrap();
        drop(kept);
        assert_eq!(Kept::open(&directory, "k").unwrap().all().count(), 0);
    }

    #[test]
    fn a_volume_is_in_use_until_each_of_its_users_has_given_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(dir.path(), "k").unwrap();
        kept.create("a", below("")).unwrap();
        for user in ["one", "two", "one"] {
            kept.take("a", user, Path::new("/m")).unwrap();
        }
        for user in ["one", "none", "one"] {
            kept.give_back("a", user).unwrap();
            assert!(matches!(kept.remove("a", |_| true), Err(Error::InUse(_))));
        }
        kept.give_back("a", "two").unwrap();
        kept.remove("a", |_| true).unwrap();
        assert!(matches!(kept.remove("a", |_| true), Err(Error::Unknown(_))));
        kept.create("a", below("x")).unwrap();
        kept.take("a", "of an engine that was killed", Path::new("/m")).unwrap();
        kept.remove("a", |at| at != Path::new("/m")).unwrap();
    }

    #[test]
    fn a_name_is_one_volume_and_none_is_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(dir.path(), "k").unwrap();
        kept.create("a.b-c_1", below("x")).unwrap();
        kept.create("a.b-c_1", below("x")).unwrap();
        assert!(matches!(kept.create("a.b-c_1", below("y")), Err(Error::Exists { .. })));
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in ["", ".", "..", "-a", "a/b", "a b", "a\n", "\u{202e}a", &long] {
            assert!(matches!(kept.create(name, below("x")), Err(Error::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_said_to_be_and_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k.json");
        std::fs::write(&file, "{\"boot\":").unwrap();
        let error = Kept::open(dir.path(), "k").unwrap_err();
        assert!(error.hint().unwrap().contains("rm "), "{error}");
        // A path that was changed by hand is judged as one that is given.
        std::fs::write(&file, r#"{"boot":"","volumes":{"a":{"path":"../x"}}}"#).unwrap();
        assert!(matches!(Kept::open(dir.path(), "k"), Err(Error::Damaged { .. })));
        assert!(std::fs::read_to_string(&file).unwrap().contains("../x"));
    }
}
