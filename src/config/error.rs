//! Every way the configuration can be wrong. No message repeats a value that may be a secret.

use crate::paths::{self, quoted};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A line of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {}: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("cannot write the configuration {}: {source}", file.display())]
    Write { file: PathBuf, source: std::io::Error },
    #[error("the configuration is not believed: {0}")]
    Distrust(#[from] crate::trust::Distrust),
    #[error("{place}: {message}")]
    Syntax { place: Place, message: String },
    #[error("{place}: unknown key '{key}' in {section}")]
    UnknownKey {
        place: Place,
        key: String,
        section: Box<str>,
        nearest: Option<String>,
        /// What to write where that is known.
        instead: Option<Box<str>>,
        known: &'static [&'static str],
    },
    #[error("{place}: '{key}' must be {expected}, not {found}")]
    Type { place: Place, key: String, expected: &'static str, found: &'static str },
    #[error("{place}: '{key}': {problem}")]
    Value { place: Place, key: String, problem: String },
    #[error("{place}: '{key}' holds a secret")]
    Secret { place: Place, key: String },
    #[error("no provider instance is named '{name}'")]
    NoInstance { name: String, nearest: Option<String> },
    #[error("'{name}' is not a name for a provider instance")]
    Name { name: String },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Read { file, source } if source.kind() == std::io::ErrorKind::NotFound => {
                format!("create {} or leave --config and OMNIFS_CONFIG away", quoted(file))
            }
            Error::Read { .. } | Error::Syntax { .. } => return None,
            // It says so itself.
            Error::Write { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock => {
                return None;
            }
            Error::Write { file, source } => {
                let directory = written_in(file);
                let denied = source.kind() == std::io::ErrorKind::PermissionDenied;
                // Where a home is missing, the file says so: its directory is the one above that.
                let remedy = [&directory, file].into_iter().filter(|_| !denied);
                let remedy = remedy.filter_map(|place| paths::remedy(place, source)).next();
                remedy.unwrap_or_else(|| format!("check the permissions of {}", quoted(directory)))
            }
            Error::Distrust(distrust) => distrust.hint(),
            Error::UnknownKey { instead: Some(instead), .. } => instead.to_string(),
            Error::UnknownKey { nearest: Some(nearest), .. } => {
                format!("did you mean '{nearest}'?")
            }
            Error::UnknownKey { known, .. } => format!("known here: {}", known.join(", ")),
            Error::Type { expected, .. } => match *expected {
                "true or false" => "write true or false without quotes".into(),
                "a string" => "put the value in double quotes".into(),
                _ => return None,
            },
            Error::Value { .. } => return None,
            Error::Secret { .. } => "keep the secret in a file of mode 0600 and name it with \
                 credential-file, or use `omnifs auth login`"
                .into(),
            Error::NoInstance { nearest: Some(nearest), .. } => {
                format!("did you mean '{nearest}'?")
            }
            Error::NoInstance { .. } => "see `omnifs providers list`".into(),
            Error::Name { .. } => NAME_RULE.into(),
        })
    }
}

pub(super) const NAME_RULE: &str = "use 1 to 63 lower-case letters, digits and '-', beginning with a letter \
                         or a digit";

/// The directory in which a new file would be made: of a link, where it leads, and of directories that
/// are missing the one above them.
fn written_in(file: &Path) -> PathBuf {
    let target = paths::target(file).unwrap_or_else(|_| file.to_owned());
    let directory = target.ancestors().skip(1).find(|directory| directory.is_dir());
    directory.unwrap_or(&target).to_owned()
}

/// A key or name as the file writes them.
pub(super) fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// The known name that is nearest to what was written, if one is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let written = plain(written);
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&written, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_names_the_directory_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (own, dotfiles) = (dir.path().join("own"), dir.path().join("dotfiles"));
        for directory in [&own, &dotfiles] {
            std::fs::create_dir(directory).unwrap();
        }
        std::os::unix::fs::symlink("../dotfiles/omnifs.toml", own.join("link")).unwrap();
        let hint = |file: PathBuf| {
            Error::Write { file, source: std::io::ErrorKind::PermissionDenied.into() }.hint()
        };
        let names =
            |directory: &Path| Some(format!("check the permissions of {}", directory.display()));
        assert_eq!(hint(own.join("config.toml")), names(&own));
        assert_eq!(hint(own.join("not/there/config.toml")), names(&own));
        assert_eq!(hint(own.join("link")), names(&own.join("../dotfiles")));
    }
}
