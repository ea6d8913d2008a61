//! Where to mount: a drive letter, the next free one, or a directory that does not exist yet.

use std::fmt;
use std::path::{Path, PathBuf};

/// What the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mountpoint {
    /// `O:`, in upper case.
    Drive(char),
    /// `*`: the next free letter.
    Next,
    /// WinFsp makes it and takes it away again.
    Directory(PathBuf),
}

/// Why there can be no mount. Each says in one line what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is no drive letter: write {0}:")]
    NoColon(char),
    #[error("no mountpoint is named: write a free drive letter (O:), * or a new directory")]
    Empty,
    #[error("{0} is a network path: name a drive letter or a directory of a local drive")]
    Network(String),
    #[error("{0}: is in use: name another letter{next}", next = free(*.1))]
    DriveInUse(char, Option<char>),
    #[error("every drive letter is in use: free one, or name a directory that does not exist yet")]
    NoDriveLeft,
    #[error("{} exists: WinFsp makes the directory itself, so name one that does not exist yet", .0.display())]
    Exists(PathBuf),
    #[error("{} does not exist: make it first (mkdir), or name a directory in one that exists", .0.display())]
    NoParent(PathBuf),
    #[error("WinFsp is not installed: winget install WinFsp.WinFsp")]
    NotInstalled,
    #[error(
        "WinFsp is installed for another processor than this omnifs ({0}): install the {0} build of omnifs, or WinFsp 2.0 or later, which serves both"
    )]
    WrongArchitecture(&'static str),
    #[error(
        "WinFsp's driver does not run: sc start WinFsp (as administrator), or reinstall WinFsp"
    )]
    NoDriver,
    #[error("Windows refused the mount at {at} (NTSTATUS {status:#010x}){hint}", hint = hint(*.status))]
    System { at: String, status: u32 },
}

fn free(letter: Option<char>) -> String {
    letter.map(|letter| format!(" ({letter}: is free)")).unwrap_or_default()
}

fn hint(status: u32) -> &'static str {
    match status {
        0xC000_0022 => ": name a place that you may write to",
        0xC000_0035 => ": it is taken; name another",
        _ => "",
    }
}

impl Mountpoint {
    /// Reads `O:`, `o:\`, `*` or a path.
    pub fn parse(text: &str) -> Result<Mountpoint, Refusal> {
        let bytes = text.as_bytes();
        match bytes {
            [] => Err(Refusal::Empty),
            b"*" => Ok(Mountpoint::Next),
            [letter] if letter.is_ascii_alphabetic() => {
                Err(Refusal::NoColon(char::from(letter.to_ascii_uppercase())))
            }
            [letter, b':'] | [letter, b':', b'\\' | b'/'] if letter.is_ascii_alphabetic() => {
                Ok(Mountpoint::Drive(char::from(letter.to_ascii_uppercase())))
            }
            [b'\\' | b'/', b'\\' | b'/', third, ..] if !matches!(third, b'?' | b'.') => {
                Err(Refusal::Network(text.into()))
            }
            _ => Ok(Mountpoint::Directory(text.into())),
        }
    }

    /// The same with a letter for `*`, once nothing stands in the way.
    pub fn settle(self, system: &impl System) -> Result<Mountpoint, Refusal> {
        let drives = system.drives();
        match self {
            Mountpoint::Drive(letter) if in_use(drives, letter) => {
                Err(Refusal::DriveInUse(letter, next_free(drives)))
            }
            Mountpoint::Drive(_) => Ok(self),
            Mountpoint::Next => {
                next_free(drives).map(Mountpoint::Drive).ok_or(Refusal::NoDriveLeft)
            }
            Mountpoint::Directory(path) => {
                if system.exists(&path) {
                    return Err(Refusal::Exists(path));
                }
                match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() && !system.exists(parent) => {
                        Err(Refusal::NoParent(parent.to_owned()))
                    }
                    _ => Ok(Mountpoint::Directory(path)),
                }
            }
        }
    }

    /// A path by which programs reach the mount: `O:\`.
    pub fn path(&self) -> PathBuf {
        match self {
            Mountpoint::Drive(letter) => format!("{letter}:\\").into(),
            Mountpoint::Next => "*".into(),
            Mountpoint::Directory(path) => path.clone(),
        }
    }
}

/// As WinFsp takes it: a letter without a separator after it.
impl fmt::Display for Mountpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mountpoint::Drive(letter) => write!(f, "{letter}:"),
            Mountpoint::Next => f.write_str("*"),
            Mountpoint::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What the system must be asked.
pub trait System {
    /// Letters in use: bit 0 for A (`GetLogicalDrives`).
    fn drives(&self) -> u32;

    /// Whether there is something at the path, a link that leads nowhere included.
    fn exists(&self, path: &Path) -> bool;
}

fn in_use(drives: u32, letter: char) -> bool {
    let bit = (letter as u32).wrapping_sub('A' as u32);
    drives.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
}

/// Downwards from Z, as Windows does for network drives. A and B are left alone: programs take
/// them for floppy disks.
fn next_free(drives: u32) -> Option<char> {
    ('C'..='Z').rev().find(|letter| !in_use(drives, *letter))
}

/// What the Windows error of loading WinFsp's library means.
pub fn not_loaded(error: u32, architecture: &'static str) -> Refusal {
    match error {
        // ERROR_BAD_EXE_FORMAT, ERROR_EXE_MACHINE_TYPE_MISMATCH
        193 | 216 => Refusal::WrongArchitecture(architecture),
        _ => Refusal::NotInstalled,
    }
}

/// What the NTSTATUS of making the volume means.
pub fn not_created(at: &Mountpoint, status: u32) -> Refusal {
    match status {
        // The device of the driver is not there, by name or by path.
        0xC000_0034 | 0xC000_003A | 0xC000_000E | 0xC000_00C0 => Refusal::NoDriver,
        _ => Refusal::System { at: at.to_string(), status },
    }
}

/// What the NTSTATUS of setting the mountpoint means, which somebody may have taken meanwhile.
pub fn not_mounted(at: &Mountpoint, status: u32, system: &impl System) -> Refusal {
    let taken = status == 0xC000_0035;
    match at {
        Mountpoint::Drive(letter) if taken => {
            Refusal::DriveInUse(*letter, next_free(system.drives()))
        }
        Mountpoint::Directory(path) if taken => Refusal::Exists(path.clone()),
        _ => Refusal::System { at: at.to_string(), status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(u32, &'static [&'static str]);

    impl System for Machine {
        fn drives(&self) -> u32 {
            self.0
        }

        fn exists(&self, path: &Path) -> bool {
            self.1.iter().any(|known| path == Path::new(known))
        }
    }

    #[test]
    fn what_a_user_can_write_is_read() {
        let rows = [
            ("O:", Mountpoint::Drive('O')),
            ("o:", Mountpoint::Drive('O')),
            ("o:\\", Mountpoint::Drive('O')),
            ("O:/", Mountpoint::Drive('O')),
            ("*", Mountpoint::Next),
            ("C:\\omnifs", Mountpoint::Directory("C:\\omnifs".into())),
            ("work", Mountpoint::Directory("work".into())),
            ("\\\\?\\C:\\x", Mountpoint::Directory("\\\\?\\C:\\x".into())),
        ];
        for (text, expected) in rows {
            assert_eq!(Mountpoint::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(Mountpoint::parse("o"), Err(Refusal::NoColon('O')));
        assert_eq!(Mountpoint::parse(""), Err(Refusal::Empty));
        assert!(matches!(Mountpoint::parse("\\\\server\\share"), Err(Refusal::Network(_))));
        assert!(matches!(Mountpoint::parse("//server/share"), Err(Refusal::Network(_))));
    }

    #[test]
    fn a_free_letter_is_taken_from_the_end() {
        let settle = |point: Mountpoint, drives| point.settle(&Machine(drives, &[]));
        assert_eq!(settle(Mountpoint::Next, 0b100), Ok(Mountpoint::Drive('Z')));
        assert_eq!(settle(Mountpoint::Next, 1 << 25 | 1 << 24), Ok(Mountpoint::Drive('X')));
        assert_eq!(settle(Mountpoint::Next, 0x03FF_FFFC), Err(Refusal::NoDriveLeft));
        assert_eq!(settle(Mountpoint::Drive('O'), 0b100), Ok(Mountpoint::Drive('O')));
        let refused = settle(Mountpoint::Drive('C'), 1 << 25 | 0b100);
        assert_eq!(refused, Err(Refusal::DriveInUse('C', Some('Y'))));
    }

    #[test]
    fn a_directory_must_not_exist_and_what_holds_it_must() {
        let machine = Machine(0, &["base", "base/there"]);
        let settle = |path: &str| Mountpoint::Directory(path.into()).settle(&machine);
        assert_eq!(settle("base/new"), Ok(Mountpoint::Directory("base/new".into())));
        assert_eq!(settle("new"), Ok(Mountpoint::Directory("new".into())));
        assert_eq!(settle("base/there"), Err(Refusal::Exists("base/there".into())));
        assert_eq!(settle("other/new"), Err(Refusal::NoParent("other".into())));
    }

    #[test]
    fn each_refusal_is_one_line_that_says_what_to_do() {
        let point = Mountpoint::Drive('O');
        let machine = Machine(1 << 14, &[]);
        let rows = [
            (Refusal::NoColon('O'), "write O:"),
            (Refusal::Empty, "write a free drive letter"),
            (Refusal::Network("\\\\a\\b".into()), "name a drive letter"),
            (Refusal::DriveInUse('C', Some('Z')), "name another letter (Z: is free)"),
            (Refusal::DriveInUse('C', None), "name another letter"),
            (Refusal::NoDriveLeft, "free one"),
            (Refusal::Exists("C:\\x".into()), "name one that does not exist yet"),
            (Refusal::NoParent("C:\\x".into()), "make it first"),
            (not_loaded(126, "x64"), "winget install WinFsp.WinFsp"),
            (not_loaded(193, "x64"), "install the x64 build"),
            (not_created(&point, 0xC000_0034), "sc start WinFsp"),
            (not_created(&point, 0xC000_0022), "name a place that you may write to"),
            (not_mounted(&point, 0xC000_0035, &machine), "O: is in use: name another letter"),
            (
                not_mounted(&Mountpoint::Directory("d".into()), 0xC000_0035, &machine),
                "d exists: WinFsp makes the directory itself",
            ),
            (not_mounted(&point, 0xC000_0001, &machine), "NTSTATUS 0xc0000001"),
        ];
        for (refusal, says) in rows {
            let line = refusal.to_string();
            assert!(line.contains(says) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_letter_is_written_as_each_side_takes_it() {
        let drive = Mountpoint::Drive('O');
        assert_eq!(drive.to_string(), "O:");
        assert_eq!(drive.path(), Path::new("O:\\"));
    }
}
