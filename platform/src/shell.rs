//! Commands in messages, as a person can type them.

use std::ffi::OsStr;

/// A word, such as a path, as the shell of this system takes it.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let text = word.to_string_lossy();
    // What a message would not show as it is, or what is no text: its bytes, in `$'...'` (POSIX.1-2024).
    #[cfg(unix)]
    if word.to_str().is_none() || omnifs_text::hidden(&text).next().is_some() {
        return bytes_quoted(word);
    }
    if !cfg!(windows) {
        return posix_quoted(&text);
    }
    match is_plain(&text.replace('\\', "/")) {
        true => text.into_owned(),
        false => format!("\"{text}\""),
    }
}

/// A word as the shell of another machine takes it, which is no Windows.
pub(crate) fn posix_quoted(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(&b);
    !text.is_empty() && text.bytes().all(plain)
}

/// The same of a word that is kept as text. One that was not Unicode cannot be had from that.
pub fn quoted_text(word: &str) -> String {
    if word.contains(char::REPLACEMENT_CHARACTER) { "PATH".into() } else { quoted(word) }
}

#[cfg(unix)]
fn bytes_quoted(word: &OsStr) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut quoted = String::from("$'");
    for &byte in word.as_bytes() {
        match byte {
            b'\'' | b'\\' => quoted.extend(['\\', byte.into()]),
            0x20..0x7f => quoted.push(byte.into()),
            // Three octal digits take none of what follows along.
            _ => write!(quoted, "\\{byte:03o}").unwrap_or_default(),
        }
    }
    quoted + "'"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

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
        for word in [&b"/mnt/\xe2\x80\xaegnp\n1\t"[..], b"/mnt/it's \\ \xff1", b"/\xe2\x80\x8b7"] {
            let word = std::ffi::OsString::from_vec(word.to_vec());
            let quoted = quoted(&word);
            assert_eq!(omnifs_text::printable(&quoted), quoted);
            let command = format!("printf %s {quoted}");
            let output = std::process::Command::new("bash").args(["-c", &command]).output();
            let Ok(output) = output else { return };
            assert_eq!(output.stdout, word.as_bytes(), "{quoted}");
        }
    }
}
