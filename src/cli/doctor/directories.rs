//! Whether the user's directories can be used, and by nobody else.

use super::super::shown;
use super::Finding;
use super::fix::Fix;
use omnifs::paths::{self, Paths, quoted};
use omnifs::trust;
use std::io::{self, Write};
use std::path::Path;

pub fn all(paths: &Paths) -> Vec<Finding> {
    vec![
        directory("state", &paths.state, Finding::bad),
        directory("data", &paths.data, Finding::bad),
        // Without it everything works, and takes longer to start.
        directory("cache", &paths.cache, Finding::warning),
    ]
}

fn directory(name: &str, path: &Path, fault: fn(String, String) -> Finding) -> Finding {
    if let Err(distrust) = trust::check_own(path) {
        let what = format!("the {name} directory {} is not used: {distrust}", shown(path));
        return fault(what, distrust.hint()).fixed_by(Fix::of(&distrust, path));
    }
    match writable(path) {
        Ok(()) => Finding::good(format!("the {name} directory {} can be written", shown(path))),
        Err(error) => {
            let what = format!("the {name} directory {} cannot be written: {error}", shown(path));
            let mend = paths::remedy(path, &error);
            fault(what, mend.unwrap_or_else(|| format!("look at {}", quoted(path))))
        }
    }
}

fn writable(directory: &Path) -> io::Result<()> {
    paths::private_dir(directory)?;
    let probe = directory.join(format!(".doctor.{}", std::process::id()));
    let mut file = paths::private_file().write(true).create_new(true).open(&probe)?;
    // On a full disk a name can often still be made, and nothing be written.
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    written.and(std::fs::remove_file(&probe))
}
