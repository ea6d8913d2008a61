//! Commands in messages, as a person can type them.

use std::ffi::OsStr;

/// A word as the shell of this system takes it.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let text = word.as_ref().to_string_lossy();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(&b);
    let simple = !text.is_empty() && text.bytes().all(|b| plain(b) || cfg!(windows) && b == b'\\');
    match simple {
        true => text.into_owned(),
        false if cfg!(windows) => format!("\"{text}\""),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        for (word, shown) in [
            ("/mnt/o", "/mnt/o"),
            ("/mnt/my files", "'/mnt/my files'"),
            ("/mnt/it's", "'/mnt/it'\\''s'"),
            ("/mnt/$HOME", "'/mnt/$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
