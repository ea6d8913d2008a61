//! Which names may be shown in a directory.
//!
//! Invariant: a name that passed [`admit`] is one path component on every system that mounts it; it
//! can neither leave its directory nor hide in a terminal or a log line, and git takes it for no
//! repository.

use std::fmt;

/// Bytes in a name: what Linux (`NAME_MAX`), macOS and most file systems below a copy allow.
pub const NAME_MAX: usize = 255;

/// Bytes of a symlink's target: Linux's PATH_MAX without its NUL.
pub const TARGET_MAX: usize = 4095;

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes, more than {NAME_MAX}")]
    TooLong(usize),
    #[error("it stands for a directory of the path itself")]
    Dots,
    #[error("it contains `/`")]
    Slash,
    #[error("it contains U+{:04X}, which nobody can see", *.0 as u32)]
    Hidden(char),
    #[error("git would run what the repository of that name says")]
    Git,
}

/// The one door for names that come from a provider or a user: no `/`, nothing hidden (see
/// [`omnifs_text`]; NUL is among that), not `.`, `..`, `.git` or empty, at most [`NAME_MAX`] bytes.
pub fn admit(name: &str) -> Result<(), Refused> {
    if name.is_empty() {
        return Err(Refused::Empty);
    }
    if name.len() > NAME_MAX {
        return Err(Refused::TooLong(name.len()));
    }
    if name == "." || name == ".." {
        return Err(Refused::Dots);
    }
    if name.contains('/') {
        return Err(Refused::Slash);
    }
    if omnifs_text::is_git_directory(name) {
        return Err(Refused::Git);
    }
    match omnifs_text::hidden(name).next() {
        Some((_, hidden)) => Err(Refused::Hidden(hidden)),
        None => Ok(()),
    }
}

/// Shows a string that has not been admitted: escaped, in backquotes, cut after 64 characters.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        f.write_str("`")?;
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(SHOWN) {
            write!(f, "{}", character.escape_debug())?;
        }
        if characters.next().is_some() {
            f.write_str("...")?;
        }
        f.write_str("`")
    }
}

/// Whether a setting or an environment variable of this name is there to hold a secret.
pub fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    let last = key.rsplit('-').next().unwrap_or_default();
    matches!(last, "token" | "secret" | "password" | "passwd" | "passphrase" | "apikey")
        || key.ends_with("api-key")
        || key.ends_with("access-key")
        || key.ends_with("private-key")
        || key == "authorization"
        || key == "credential"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_admitted() {
        for name in
            ["a", ".hidden", "...", "with space", "naïve.md", "日本", "🎉", "-", "a\\b", "C:"]
        {
            assert_eq!(admit(name), Ok(()), "{name}");
        }
        assert_eq!(admit(&"x".repeat(NAME_MAX)), Ok(()));
    }

    #[test]
    fn a_name_that_is_not_one_path_component_is_refused() {
        assert_eq!(admit(""), Err(Refused::Empty));
        assert_eq!(admit("."), Err(Refused::Dots));
        assert_eq!(admit(".."), Err(Refused::Dots));
        assert_eq!(admit("../x"), Err(Refused::Slash));
        assert_eq!(admit("/"), Err(Refused::Slash));
        assert_eq!(admit("a\0b"), Err(Refused::Hidden('\0')));
        assert_eq!(admit("a\nb"), Err(Refused::Hidden('\n')));
        assert_eq!(admit("\u{7f}"), Err(Refused::Hidden('\u{7f}')));
        assert_eq!(admit("\u{9b}31m"), Err(Refused::Hidden('\u{9b}')));
        assert_eq!(admit("a\u{202e}gnp"), Err(Refused::Hidden('\u{202e}')));
        assert_eq!(admit("ad\u{200b}min"), Err(Refused::Hidden('\u{200b}')));
        assert_eq!(admit("one\u{2028}two"), Err(Refused::Hidden('\u{2028}')));
        assert_eq!(admit(".git"), Err(Refused::Git));
        assert_eq!(admit(".GIT."), Err(Refused::Git));
        assert_eq!(admit(&"x".repeat(256)), Err(Refused::TooLong(256)));
        // 128 characters of two bytes each.
        assert_eq!(admit(&"é".repeat(128)), Err(Refused::TooLong(256)));
    }

    #[test]
    fn a_refused_name_is_shown_escaped_and_cut() {
        assert_eq!(Quoted("a\n\u{1b}[31m").to_string(), "`a\\n\\u{1b}[31m`");
        assert_eq!(Quoted(&"x".repeat(300)).to_string(), format!("`{}...`", "x".repeat(64)));
    }
}
