//! Changes to the configuration file that leave the user's comments and order alone.

use super::{Config, Error, read};
use crate::paths;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

/// For another editor to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file, held for one change: a second editor waits.
#[derive(Debug)]
pub struct Editor {
    file: PathBuf,
    document: DocumentMut,
    _lock: File,
}

impl Editor {
    /// Reads the file, or starts a new one.
    ///
    /// # Errors
    /// The file cannot be read or is wrong: then it is not touched.
    pub fn open(file: &Path) -> Result<Editor, Vec<Error>> {
        let fail = |source| vec![Error::Write { file: file.to_owned(), source }];
        let directory = file.parent().filter(|d| !d.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let absolute = std::path::absolute(directory).map_err(fail)?;
        crate::trust::check(&absolute).map_err(|distrust| vec![distrust.into()])?;
        if !directory.exists() {
            paths::private_dir(directory).map_err(fail)?;
        }
        let lock = lock(directory).map_err(fail)?;
        Config::load(file, false)?;
        let text = if file.exists() { std::fs::read_to_string(file) } else { Ok(String::new()) };
        let text = text.map_err(|source| vec![Error::Read { file: file.to_owned(), source }])?;
        // Config::load has just parsed the same text.
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            let place = super::Place { file: file.into(), line: 1 };
            vec![Error::Syntax { place, message: error.message().to_owned() }]
        })?;
        Ok(Editor { file: file.to_owned(), document, _lock: lock })
    }

    fn instance(&mut self, name: &str) -> Option<&mut Item> {
        let instances = self.document.entry("instances").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let instances = instances.as_table_like_mut()?;
        Some(instances.entry(name).or_insert_with(|| Item::Table(Table::new())))
    }

    fn set(&mut self, name: &str, key: &str, new: impl Into<toml_edit::Value>) {
        // Config::load has checked that both levels are tables.
        let Some(table) = self.instance(name).and_then(Item::as_table_like_mut) else { return };
        put(table, key, new.into());
    }

    /// A table of the instance, written as dotted keys where it is new.
    fn below(&mut self, name: &str, key: &str) -> Option<&mut dyn TableLike> {
        let instance = self.instance(name)?.as_table_like_mut()?;
        let fresh = || {
            let mut table = Table::new();
            table.set_dotted(true);
            Item::Table(table)
        };
        instance.entry(key).or_insert_with(fresh).as_table_like_mut()
    }

    /// Records that the user approved as `name` the component with this digest, and what it asks for with
    /// that one: `sha256:HEX`.
    pub fn grant(&mut self, name: &str, provider: &str, digest: &str, asks: &str) {
        self.set(name, "provider", provider);
        self.set(name, "grant", digest);
        self.set(name, "asks", asks);
        let table = self.instance(name).and_then(Item::as_table_like_mut);
        if let Some(table) = table.filter(|t| t.get("enabled").is_some()) {
            table.insert("enabled", value(true));
        }
    }

    /// Says which provider the instance is of.
    pub fn provider(&mut self, name: &str, provider: &str) {
        self.set(name, "provider", provider);
    }

    /// Says where one of the instance's endpoints is. What else is written of the endpoint stays.
    pub fn endpoint(&mut self, name: &str, endpoint: &str, url: &str) {
        let Some(table) = self.below(name, "endpoints") else { return };
        match table.get_mut(endpoint).and_then(Item::as_table_like_mut) {
            Some(more) => put(more, "url", url.into()),
            None => put(table, endpoint, url.into()),
        }
    }

    /// Says in which file the instance's credential is: its only one, or the one of this name. `None` takes
    /// the line away.
    pub fn credential_file(&mut self, name: &str, credential: Option<&str>, file: Option<&Path>) {
        let (table, key) = match credential {
            None => (self.instance(name).and_then(Item::as_table_like_mut), "credential-file"),
            Some(credential) => (self.below(name, "credential-files"), credential),
        };
        let Some(table) = table else { return };
        match file {
            Some(file) => put(table, key, file.to_string_lossy().as_ref().into()),
            None => drop(table.remove(key)),
        }
    }

    /// Switches an instance on or off.
    pub fn enable(&mut self, name: &str, on: bool) {
        self.set(name, "enabled", on);
    }

    /// Takes the instance's section away. False if there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(instances) = self.document.get_mut("instances") else { return false };
        let Some(instances) = instances.as_table_like_mut() else { return false };
        let found = instances.remove(name).is_some();
        if instances.is_empty() {
            self.document.remove("instances");
        }
        found
    }

    /// Writes the file, after a check that it would be read.
    pub fn save(self) -> Result<(), Vec<Error>> {
        let text = self.document.to_string();
        read::parse(&self.file, &text)?;
        let write = paths::replace(&self.file, text.as_bytes());
        write.map_err(|source| vec![Error::Write { file: self.file, source }])
    }
}

/// Sets a value. What stands around an old one stays.
fn put(table: &mut dyn TableLike, key: &str, new: toml_edit::Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(new));
        }
    }
}

/// Excludes other editors of the directory's files until the answer is dropped.
fn lock(directory: &Path) -> io::Result<File> {
    #[cfg(unix)]
    let lock = File::open(directory)?;
    // A directory cannot be opened as a file there.
    #[cfg(not(unix))]
    let lock =
        paths::private_file().create(true).write(true).open(directory.join("config.lock"))?;
    // Whoever may read the directory may hold the lock.
    let end = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let why = "another program holds its lock; try again";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: &str, change: impl FnOnce(&mut Editor)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, before).unwrap();
        let mut editor = Editor::open(&file).unwrap();
        change(&mut editor);
        editor.save().unwrap();
        std::fs::read_to_string(&file).unwrap()
    }

    const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000ff";

    #[test]
    fn a_grant_keeps_comments_order_and_spacing() {
        let before = "# mine\n[cache] # small\nnodes = 1_000   # enough\n\n[instances.docker]\n\
                      # the lab engine\nendpoints.engine = \"unix:///lab.sock\"\n# the end\n";
        let after = edited(before, |e| e.grant("jira", "jira", DIGEST, DIGEST));
        assert!(after.starts_with(before.strip_suffix("# the end\n").unwrap()), "{after}");
        assert!(after.contains("# the end"), "{after}");
        assert!(
            after.contains("[instances.jira]\nprovider = \"jira\"\ngrant = \"sha256:"),
            "{after}"
        );

        let again = edited(&after, |e| assert!(e.remove("jira")));
        assert_eq!(again, before);
    }

    #[test]
    fn a_second_grant_replaces_the_digest_and_nothing_else() {
        let before = format!(
            "[instances.jira] # tickets\nprovider = \"old\"\nenabled = false\n\
             grant = \"{}\" # approved in May\nsettings.depth = 3\n",
            DIGEST.replace("ff", "11")
        );
        let after = edited(&before, |e| e.grant("jira", "jira", DIGEST, DIGEST));
        let expected = format!(
            "[instances.jira] # tickets\nprovider = \"jira\"\nenabled = true\n\
             grant = \"{DIGEST}\" # approved in May\nsettings.depth = 3\nasks = \"{DIGEST}\"\n"
        );
        assert_eq!(after, expected);
    }

    #[test]
    fn an_inline_table_of_instances_can_be_edited() {
        let after = edited("instances = { a = { enabled = true } }\n", |e| e.enable("a", false));
        assert_eq!(after, "instances = { a = { enabled = false } }\n");
    }

    #[test]
    fn a_new_file_is_made_with_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/config.toml");
        let mut editor = Editor::open(&file).unwrap();
        editor.enable("docker", false);
        editor.save().unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "[instances.docker]\nenabled = false\n"
        );
    }

    #[test]
    fn an_endpoint_and_a_credential_file_are_written_where_they_belong_and_nothing_else_changes() {
        let both = |e: &mut Editor| {
            e.endpoint("docker", "engine", "unix:///new.sock");
            e.credential_file("docker", None, Some(Path::new("/s/docker")));
        };
        let before = "[instances.docker] # mine\nendpoints.engine = \"unix:///lab.sock\" # the lab\n# the end\n";
        let after = edited(before, both);
        assert_eq!(
            after,
            "[instances.docker] # mine\nendpoints.engine = \"unix:///new.sock\" # the lab\n\
             credential-file = \"/s/docker\"\n# the end\n"
        );
        let again = edited(&after, |e| e.credential_file("docker", None, None));
        assert_eq!(again, before.replace("lab.sock", "new.sock"));
        let table = "[instances.docker.endpoints.engine] # all\nca-file = \"ca.pem\" # ours\n";
        let after = edited(table, |e| e.endpoint("docker", "engine", "https://e.example"));
        assert_eq!(after, format!("{table}url = \"https://e.example\"\n"));
        let after = edited("", |e| {
            e.provider("work", "hub");
            e.endpoint("work", "api", "https://h.example");
            e.credential_file("work", Some("key"), Some(Path::new("/s/key")));
        });
        assert_eq!(
            after,
            "[instances.work]\nprovider = \"hub\"\nendpoints.api = \"https://h.example\"\n\
             credential-files.key = \"/s/key\"\n"
        );
        let after = edited("instances = { a = { enabled = true } }\n", |e| {
            e.endpoint("a", "api", "https://h.example");
        });
        assert_eq!(
            after,
            "instances = { a = { enabled = true , endpoints.api = \"https://h.example\" } }\n"
        );
    }

    #[test]
    fn a_wrong_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[cahce]\n").unwrap();
        assert!(Editor::open(&file).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[cahce]\n");
    }
}
