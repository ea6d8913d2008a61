//! What a server keeps so that its clients' mounts survive a restart: the key of the handles and the
//! port, in one small file that only its owner can read. The export's name is not kept: a mount in being
//! does not need it, and every user has seen it in the mount table.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "identity";
/// By which a mount's source is known in the mount table.
const PREFIX: &str = "omnifs-";

/// Who this server is to its clients.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub key: [u8; 16],
    /// The port of the last run; 0 before the first.
    pub port: u16,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity kept in `directory`, which is made if need be, or else a new one.
    pub fn load(directory: &Path) -> io::Result<Identity> {
        make_private(directory)?;
        match fs::read_to_string(directory.join(FILE)) {
            // What cannot be read is replaced: the clients' handles are then stale, as they would
            // be without the file.
            Ok(text) => parse(&text).map_or_else(Identity::random, Ok),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Identity::random(),
            Err(error) => Err(error),
        }
    }

    fn random() -> io::Result<Identity> {
        Ok(Identity { key: random()?, port: 0 })
    }

    /// Replaces the file as a whole.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let key = hexadecimal(&self.key);
        let text = format!("key {key}\nport {}\n", self.port);
        let next = directory.join(format!("{FILE}.next"));
        let mut file = private_file(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(next, directory.join(FILE))
    }
}

/// A name for an export: [`PREFIX`] and 32 hexadecimal digits that cannot be guessed.
pub(super) fn export_name() -> io::Result<String> {
    Ok(format!("{PREFIX}{}", hexadecimal(&random()?)))
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse(text: &str) -> Option<Identity> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim)
    };
    let digits = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let key = field("key").filter(|key| digits(key))?;
    let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
    Some(Identity { key, port: field("port")?.parse().ok()? })
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A new file that only its owner can read; one that is there is replaced.
pub(super) fn private_file(path: &PathBuf) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("nfs");
        let mut first = Identity::load(&place).unwrap();
        assert_eq!(first.port, 0);
        first.port = 2049;
        first.save(&place).unwrap();
        assert!(Identity::load(&place).unwrap() == first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));
        }
        assert!(!format!("{first:?}").contains(&hexadecimal(&first.key)));
    }

    #[test]
    fn two_servers_share_no_key_two_exports_no_name_and_a_broken_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let first = Identity::load(directory.path()).unwrap();
        let second = Identity::load(directory.path()).unwrap();
        assert!(first.key != second.key && export_name().unwrap() != export_name().unwrap());
        fs::write(directory.path().join(FILE), "key 12\nport zz\n").unwrap();
        assert_eq!(Identity::load(directory.path()).unwrap().port, 0);
    }
}
