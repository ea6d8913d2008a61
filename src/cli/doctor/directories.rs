//! Whether the user's directories can be used, and by nobody else.

use super::super::shown;
use super::Finding;
use omnifs::paths::{self, Paths, quoted};
use omnifs::trust;
use std::io;
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
        return fault(what, distrust.hint());
    }
    match writable(path) {
        Ok(()) => Finding::good(format!("the {name} directory {} can be written", shown(path))),
        Err(error) => {
            let what = format!("the {name} directory {} cannot be written: {error}", shown(path));
            fault(what, mend(path))
        }
    }
}

fn mend(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let home = home.filter(|home| cfg!(unix) && path.starts_with(home) && !home.exists());
    if let Some(home) = home {
        return format!(
            "HOME is {}, which does not exist: set HOME to a directory of your own",
            shown(&home)
        );
    }
    // What is missing cannot be made there.
    let found = path.ancestors().find(|place| place.exists()).unwrap_or(path);
    if found != path {
        return format!("let {} be written, or set HOME to a directory of your own", shown(found));
    }
    let place = quoted(path);
    match cfg!(windows) {
        true => format!("icacls {place} /grant %USERNAME%:(OI)(CI)F"),
        false => format!("sudo chown -R $(id -u) {place} && chmod -R u+rwX {place}"),
    }
}

fn writable(directory: &Path) -> io::Result<()> {
    paths::private_dir(directory)?;
    let probe = directory.join(format!(".doctor.{}", std::process::id()));
    paths::private_file().write(true).create_new(true).open(&probe)?;
    std::fs::remove_file(&probe)
}
