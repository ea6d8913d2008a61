//! A provider's project: what it is built of, and how.

use super::super::failure::{Exit, Failure};
use super::super::shown;
use omnifs::trust::{self, Distrust};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

/// Beside what is below `src`.
const FILES: [&str; 2] = ["Cargo.toml", "build.rs"];

/// Folders below `src` that are looked through.
const DEEP: usize = 16;

pub struct Project {
    /// Absolute.
    directory: PathBuf,
    building: Building,
}

/// The cargo that is running, so that it can be ended from elsewhere.
#[derive(Clone, Default)]
pub struct Building(Arc<Mutex<Job>>);

#[derive(Default)]
struct Job {
    child: Option<Child>,
    ended: bool,
}

/// Why there is no component.
pub enum Unbuilt {
    /// The compiler has said why, in this text or on standard error.
    Refused(String),
    Failed(Failure),
}

/// When each source was last written, and its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Building {
    /// Ends what runs. Nothing is built from now on.
    pub fn end(&self) {
        let mut job = self.0.lock();
        job.ended = true;
        if let Some(child) = &mut job.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Project {
    /// # Errors
    /// There is none, or somebody else could change what is built of it.
    pub fn open(directory: &Path) -> Result<Project, Failure> {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {why}", shown(directory)))
                .hint("`omnifs init NAME` begins a provider")
                .exit(Exit::Usage)
        };
        let directory = std::path::absolute(directory).map_err(|e| wrong(&e))?;
        fs::metadata(&directory).map_err(|e| wrong(&e))?;
        if !directory.join("Cargo.toml").is_file() {
            return Err(wrong(&"it has no Cargo.toml"));
        }
        trust::check(&directory).map_err(|distrust| distrusted(&distrust))?;
        Ok(Project { directory, building: Building::default() })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn building(&self) -> Building {
        self.building.clone()
    }

    /// As they are now.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        for name in FILES {
            sources.note(&self.directory.join(name));
        }
        sources.note_below(&self.directory.join("src"), 0);
        sources
    }

    /// Builds the component, and says where it is. What the compiler says goes to standard error, with `quietly`
    /// into what is returned.
    pub fn build(&self, quietly: bool) -> Result<PathBuf, Unbuilt> {
        let mut command = Command::new("cargo");
        command
            .args(["build", "--release", "--target", "wasm32-wasip2"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if quietly {
            command.stderr(Stdio::piped());
        }
        let (stdout, stderr) = {
            let mut job = self.building.0.lock();
            if job.ended {
                return Err(Unbuilt::Refused(String::new()));
            }
            let child = command.spawn().map_err(|error| {
                let failure = Failure::new(format!("cargo cannot be started: {error}"));
                Unbuilt::Failed(failure.hint("install Rust: https://rustup.rs"))
            })?;
            let child = job.child.insert(child);
            (child.stdout.take(), child.stderr.take())
        };
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What has come until it breaks is enough.
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
        let mut component = None;
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            component = self.component(&line).or(component);
        }
        let mut job = self.building.0.lock();
        let built = job
            .child
            .take()
            .is_some_and(|mut child| child.wait().is_ok_and(|status| status.success()));
        drop(job);
        let said = said.join().unwrap_or_default();
        if !built {
            return Err(Unbuilt::Refused(said));
        }
        let component = component.ok_or_else(|| {
            let failure = Failure::new("it builds, and makes no component");
            Unbuilt::Failed(failure.hint("[lib] of Cargo.toml needs: crate-type = [\"cdylib\"]"))
        })?;
        trust::check(&component).map_err(|distrust| Unbuilt::Failed(distrusted(&distrust)))?;
        Ok(component)
    }

    /// The component that a line of cargo's tells of, where it is this project's.
    fn component(&self, line: &str) -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        if message["reason"] != "compiler-artifact" {
            return None;
        }
        let manifest = Path::new(message["manifest_path"].as_str()?);
        let own = fs::canonicalize(self.directory.join("Cargo.toml"));
        if own.ok() != fs::canonicalize(manifest).ok() {
            return None;
        }
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let mut components = files
            .map(PathBuf::from)
            .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        components.next()
    }
}

impl Sources {
    fn note(&mut self, file: &Path) {
        if let Ok(metadata) = fs::metadata(file) {
            self.0.insert(file.to_owned(), (metadata.modified().ok(), metadata.len()));
        }
    }

    /// Links are not followed: they may lead in circles.
    fn note_below(&mut self, directory: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEEP => {
                    self.note_below(&entry.path(), depth + 1);
                }
                Ok(kind) if kind.is_file() => self.note(&entry.path()),
                _ => {}
            }
        }
    }
}

fn distrusted(distrust: &Distrust) -> Failure {
    Failure::new(distrust.to_string()).hint(distrust.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_differ_where_a_file_was_written_made_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir_all(dir.path().join("src/parts")).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        write("Cargo.toml", "");
        write("src/parts/one.rs", "");
        let project = Project::open(dir.path()).unwrap();
        let before = project.sources();
        assert_eq!(before.0.len(), 2);
        // What is mounted and what is built there is no source.
        write("mnt/x.rs", "");
        write("Cargo.lock", "");
        assert_eq!(project.sources(), before);
        write("src/parts/one.rs", "//");
        let after = project.sources();
        assert_ne!(after, before);
        write("src/two.rs", "");
        assert_ne!(project.sources(), after);
        fs::remove_file(dir.path().join("src/two.rs")).unwrap();
        assert_eq!(project.sources(), after);
        assert_eq!(Project::open(&dir.path().join("mnt")).err().unwrap().exit, Exit::Usage);
    }

    #[test]
    fn the_component_is_the_project_s_own_and_no_dependency_s() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        let project = Project::open(dir.path()).unwrap();
        let told = |manifest: &Path, files: &[&str]| {
            let reason = "compiler-artifact";
            let line = serde_json::json!(
                { "reason": reason, "manifest_path": manifest, "filenames": files }
            );
            project.component(&line.to_string())
        };
        let own = project.directory().join("Cargo.toml");
        assert_eq!(told(&own, &["/t/x.rlib", "/t/x.wasm"]), Some("/t/x.wasm".into()));
        assert_eq!(told(&own, &["/t/x.rlib"]), None);
        assert_eq!(told(Path::new("/else/Cargo.toml"), &["/t/x.wasm"]), None);
        assert_eq!(project.component("no JSON"), None);
    }
}
