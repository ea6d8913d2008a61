//! Which paths this process may believe.
//!
//! Invariant: what a path that passed [`check`] leads to can be changed by nobody but this process's
//! user and root. Each part of it, through every symbolic link, belongs to one of the two and can be
//! written by no other; so what is read there, and what is written there by path, cannot be swapped
//! meanwhile. Under `sudo -E` the home directory is another user's, and all that lies in it is not
//! root's to believe.
//!
//! The one exception is what the command line names with `--trust-path` ([`except`]): in a container, owners
//! and modes of what was mounted into it say nothing about who can get at it. No file can make one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// At or below these nothing is judged.
static EXCEPTED: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Has what is at or below this path believed from now on, whoever may change it. For the start of the
/// process: of several calls the first counts.
///
/// # Errors
/// One of the paths does not exist.
pub fn except(paths: &[PathBuf]) -> io::Result<()> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(forms(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?);
    }
    EXCEPTED.get_or_init(|| all);
    Ok(())
}

/// The path as [`check`] comes to it: itself, should it be a link, and what it leads to.
fn forms(path: &Path) -> io::Result<Vec<PathBuf>> {
    let absolute = std::path::absolute(path)?;
    let mut forms = vec![std::fs::canonicalize(&absolute)?];
    if let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) {
        forms.push(std::fs::canonicalize(parent)?.join(name));
    }
    Ok(forms)
}

#[cfg(unix)]
fn excepted() -> &'static [PathBuf] {
    EXCEPTED.get().map_or(&[], Vec::as_slice)
}

/// Why a path is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("{} belongs to user {owner}, and omnifs runs as user {user}", path.display())]
    Foreign { path: PathBuf, owner: u32, user: u32 },
    #[error("{} can be written by other users", .0.display())]
    Shared(PathBuf),
    #[error("{} cannot be looked at: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
}

impl Distrust {
    /// What to do about it.
    pub fn hint(&self) -> String {
        use crate::paths::quoted;
        let except = |path: &Path| {
            format!(
                "where nobody else can get at it, as in a container: --trust-path {}",
                quoted(path)
            )
        };
        match self {
            Distrust::Foreign { user: 0, path, .. } => format!(
                "run it as that user, or with root's own directories: sudo -H omnifs ...; {}",
                except(path)
            ),
            // Left behind by a command that was run as root.
            Distrust::Foreign { path, owner: 0, .. } => {
                format!("it is root's; to have it back: sudo chown -R \"$USER\" {}", quoted(path))
            }
            Distrust::Foreign { path, .. } => format!("use a place of your own; {}", except(path)),
            Distrust::Shared(path) => format!("run: chmod go-w {}; {}", quoted(path), except(path)),
            Distrust::Unreadable { .. } => "`omnifs doctor` checks the directories".into(),
        }
    }
}

impl From<Distrust> for io::Error {
    fn from(distrust: Distrust) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Advised(distrust))
    }
}

/// A [`Distrust`] that says what to do itself.
#[derive(Debug, thiserror::Error)]
#[error("{} ({})", .0, .0.hint())]
pub(crate) struct Advised(Distrust);

/// Checks an absolute path as far as it exists. Whoever may make the rest of it is believed.
#[cfg(unix)]
pub fn check(path: &Path) -> Result<(), Distrust> {
    check_except(path, excepted())
}

/// [`check`], and that a directory which exists is this user's own, not root's.
#[cfg(unix)]
pub fn check_own(path: &Path) -> Result<(), Distrust> {
    use std::os::unix::fs::MetadataExt;
    check(path)?;
    let user = rustix::process::geteuid().as_raw();
    // Of a link to it, where that leads is meant.
    match std::fs::canonicalize(path).and_then(|real| Ok((std::fs::metadata(&real)?.uid(), real))) {
        Ok((owner, real)) if owner != user && !is_excepted(&real, excepted()) => {
            Err(Distrust::Foreign { path: path.to_owned(), owner, user })
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub fn check_own(_: &Path) -> Result<(), Distrust> {
    Ok(())
}

#[cfg(unix)]
fn is_excepted(path: &Path, excepted: &[PathBuf]) -> bool {
    excepted.iter().any(|except| path.starts_with(except))
}

#[cfg(unix)]
fn check_except(path: &Path, excepted: &[PathBuf]) -> Result<(), Distrust> {
    use std::collections::VecDeque;
    use std::path::Component;
    /// As the kernel follows.
    const MOST_LINKS: usize = 40;
    let own = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    let mut place = PathBuf::from("/");
    let mut rest: VecDeque<PathBuf> = path.components().filter_map(own).collect();
    judge(&place, excepted)?;
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part.as_os_str() == ".." {
            place.pop();
            continue;
        }
        let next = place.join(&part);
        let fail =
            |error: io::Error| Distrust::Unreadable { path: next.clone(), why: error.to_string() };
        match judge(&next, excepted)? {
            None => return Ok(()),
            Some(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(fail(io::Error::other("too many symbolic links")));
                }
                let target = std::fs::read_link(&next).map_err(fail)?;
                if target.is_absolute() {
                    place = PathBuf::from("/");
                }
                let before: Vec<_> = target.components().filter_map(own).collect();
                before.into_iter().rev().for_each(|part| rest.push_front(part));
            }
            Some(_) => place = next,
        }
    }
    Ok(())
}

/// There the user's profile is the user's alone, and what is made in it inherits that.
#[cfg(not(unix))]
pub fn check(_: &Path) -> Result<(), Distrust> {
    Ok(())
}

/// Looks at the last part of a path whose other parts have been judged. `None`: it does not exist.
#[cfg(unix)]
fn judge(path: &Path, excepted: &[PathBuf]) -> Result<Option<std::fs::FileType>, Distrust> {
    use std::os::unix::fs::MetadataExt;
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Distrust::Unreadable { path: path.to_owned(), why: error.to_string() });
        }
    };
    if is_excepted(path, excepted) {
        return Ok(Some(found.file_type()));
    }
    let user = rustix::process::geteuid().as_raw();
    let owner = found.uid();
    if owner != user && owner != 0 && !is_unmapped(owner) {
        return Err(Distrust::Foreign { path: path.to_owned(), owner, user });
    }
    // The mode of a link says nothing.
    if !found.is_symlink() {
        // In a sticky directory, such as /tmp, nobody can replace what is another's.
        let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        let group = found.mode() & 0o020 != 0 && !is_own_group(found.gid());
        if (group || found.mode() & 0o002 != 0) && !sticky {
            return Err(Distrust::Shared(path.to_owned()));
        }
    }
    Ok(Some(found.file_type()))
}

/// Root's, or the user's own, of which nobody else is a member.
#[cfg(unix)]
fn is_own_group(group: u32) -> bool {
    let (user, own) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    group == 0
        || (group == own && own == user)
        || (cfg!(target_os = "macos") && group == 80)
        || is_users_alone(user, group, &read("/etc/passwd"), &read("/etc/group"))
}

/// By passwd(5) and group(5): the group in which the user is, with his name and no other member. Where it
/// is made for each user, directories may be writable for it.
#[cfg(unix)]
fn is_users_alone(user: u32, group: u32, users: &str, groups: &str) -> bool {
    let (user, group) = (user.to_string(), group.to_string());
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let find = |text: &str, number: &str| {
        text.lines().map(fields).find(|fields| fields.get(2).is_some_and(|own| own == number))
    };
    let (Some(user), Some(entry)) = (find(users, &user), find(groups, &group)) else {
        return false;
    };
    let alone = entry.get(3).is_none_or(|members| members.is_empty() || *members == user[0]);
    user.get(3) == Some(&group) && user[0] == entry[0] && alone
}

/// In a user namespace that maps some users only, all others have this one number, root among them: in
/// a sandbox that an ordinary user makes, `/` belongs to it.
#[cfg(target_os = "linux")]
fn is_unmapped(owner: u32) -> bool {
    const NOBODY: u32 = 65_534;
    let some_only = || {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
    };
    owner == NOBODY && some_only()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_unmapped(_: u32) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_path_of_ones_own_is_believed_also_through_links_and_before_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        symlink("../a/b", root.join("a/link")).unwrap();
        symlink(root.join("a"), root.join("absolute")).unwrap();
        for path in ["a/b", "a/link", "absolute/link/c/d", "a/../a/b", "none/at/all"] {
            assert_eq!(check(&root.join(path)), Ok(()), "{path}");
        }
        symlink("loop", root.join("loop")).unwrap();
        assert!(matches!(check(&root.join("loop/x")), Err(Distrust::Unreadable { .. })));
    }

    #[test]
    fn what_others_may_write_is_not_believed_unless_it_is_sticky() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (shared, below) = (root.join("shared"), root.join("shared/x"));
        fs::create_dir(&shared).unwrap();
        fs::write(&below, "").unwrap();
        set_mode(&shared, 0o777);
        assert_eq!(check(&below), Err(Distrust::Shared(shared.clone())));
        set_mode(&shared, 0o1777);
        assert_eq!(check(&below), Ok(()));
        set_mode(&below, 0o666);
        assert_eq!(check(&below), Err(Distrust::Shared(below.clone())));
        // A link out of it leads to what is judged as well.
        symlink(&below, root.join("link")).unwrap();
        assert_eq!(check(&root.join("link")), Err(Distrust::Shared(below)));
    }

    #[test]
    fn what_is_excepted_is_believed_and_nothing_beside_or_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let volume = root.join("volume");
        for name in ["volume", "volumes", "else"] {
            fs::create_dir_all(root.join(name).join("x")).unwrap();
            set_mode(&root.join(name), 0o777);
        }
        symlink(&volume, root.join("link")).unwrap();
        let below = volume.join("x/y");
        assert!(check_except(&below, &[]).is_err());
        // By the directory's own name, and by that of a link to it.
        for name in ["volume", "link", "else/../volume"] {
            let excepted = forms(&root.join(name)).unwrap();
            assert_eq!(check_except(&below, &excepted), Ok(()), "{name}");
            for other in ["volumes/x", "else/x"] {
                assert!(check_except(&root.join(other), &excepted).is_err(), "{name}: {other}");
            }
        }
        // A link out of it is judged where it leads; and so is what is above it.
        symlink(root.join("else/x"), volume.join("out")).unwrap();
        let excepted = forms(&volume).unwrap();
        let outside = Distrust::Shared(root.join("else"));
        assert_eq!(check_except(&volume.join("out"), &excepted), Err(outside));
        set_mode(&root, 0o777);
        assert_eq!(check_except(&below, &excepted), Err(Distrust::Shared(root.clone())));
        assert!(forms(&root.join("none")).is_err());
        assert!(Distrust::Shared(volume).hint().contains("--trust-path "));
    }

    #[test]
    fn a_group_is_the_users_own_where_it_has_his_name_and_nobody_else() {
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1001:1002::/home/ann:/bin/sh\n";
        let alone = |groups: &str| is_users_alone(1001, 1002, users, groups);
        assert!(alone("root:x:0:\nann:x:1002:\n") && alone("ann:x:1002:ann"));
        assert!(!alone("ann:x:1002:bob\n") && !alone("staff:x:1002:\n") && !alone(""));
        assert!(!is_users_alone(1001, 100, users, "ann:x:100:\n"));
    }

    #[test]
    fn what_another_user_owns_is_not_believed_wherever_it_stands_in_the_path() {
        if !is_root() {
            let test = "what_another_user_owns_is_not_believed_wherever_it_stands_in_the_path";
            return omnifs_support::skip(test, "only root can give files to another user");
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home/.local/state")).unwrap();
        symlink(root.join("home/.local"), root.join("link")).unwrap();
        assert_eq!(check(&root.join("home/.local/state")), Ok(()));
        let foreign = |path: &str| {
            let path = root.join(path);
            std::os::unix::fs::lchown(&path, Some(4321), None).unwrap();
            let expected = Distrust::Foreign { path: path.clone(), owner: 4321, user: 0 };
            assert!(expected.hint().contains("sudo -H"));
            let both = [check(&root.join("home/.local/state/x")), check(&root.join("link/state"))];
            std::os::unix::fs::lchown(&path, Some(0), None).unwrap();
            (expected, both)
        };
        let (expected, [direct, through]) = foreign("home/.local");
        assert_eq!((direct, through), (Err(expected.clone()), Err(expected)));
        let (expected, [direct, _]) = foreign("home");
        assert_eq!(direct, Err(expected));
        let (expected, [direct, through]) = foreign("link");
        assert_eq!((direct, through), (Ok(()), Err(expected)));
        chown(root.join("home/.local/state"), Some(4321), Some(4321)).unwrap();
        assert!(check(&root.join("home/.local/state/omnifs/logs")).is_err());
    }
}
