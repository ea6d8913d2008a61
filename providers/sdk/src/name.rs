//! Names of entries. Upstream text becomes a name that every file system and terminal takes, and a
//! name becomes the upstream text again.
//!
//! - `/`, NUL and whatever else nobody could see (see [`omnifs_text`]: control characters, line
//!   separators, direction marks, zero widths) are written `%XX`, one for each byte of their UTF-8.
//! - `.` and `..` are written `%2E` and `%2E%2E`; an empty text is written `%`. The first character of
//!   a name that git would open as a repository is written so too: `%2Egit`.
//! - `%` is written `%25` only where it would be read as an escape, so `100%` stays `100%`.
//! - What is longer than 255 bytes after that is cut and ends in `%~` and 16 hex digits, a hash of
//!   the whole text. Such a name is found by listing, not by [`unescape`].
//!
//! A text has one name and a name has one text: [`unescape`] refuses every name that [`escape`]
//! would not have written, so no object shows under two spellings.

/// Longest name in bytes that the host admits.
const LONGEST: usize = 255;
/// `%~` and 16 digits.
const MARK: usize = 18;

/// The name that shows `text`.
pub fn escape(text: &str) -> String {
    match text {
        "" => return "%".to_owned(),
        "." => return "%2E".to_owned(),
        ".." => return "%2E%2E".to_owned(),
        _ => {}
    }
    let mut out = String::with_capacity(text.len());
    let mut hidden = omnifs_text::hidden(text).map(|(at, _)| at).peekable();
    let git = omnifs_text::is_git_directory(text);
    for (at, c) in text.char_indices() {
        let hidden = hidden.next_if_eq(&at).is_some();
        let percent = c == '%' && (text == "%" || reads_as_escape(&text[at..]));
        if c == '/' || hidden || percent || (git && at == 0) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    if out.len() > LONGEST {
        out.truncate(cut(&out));
        // A joiner that has lost what it joined is hidden.
        let hidden = |out: &str| omnifs_text::hidden(out).next().map(|(at, _)| at);
        while let Some(at) = hidden(&out) {
            out.truncate(at);
        }
        out.push_str(&format!("%~{:016x}", fnv1a(text)));
    }
    out
}

/// The text that `name` shows, or `None` for what [`escape`] never writes and for cut names.
pub fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let bytes = name.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match hex_pair(&bytes[at..]) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    let text = String::from_utf8(out).ok()?;
    (escape(&text) == name).then_some(text)
}

/// Whether `name` was cut to fit.
pub fn is_cut(name: &str) -> bool {
    let mark = &name.as_bytes()[name.len().saturating_sub(MARK)..];
    mark.starts_with(b"%~") && mark[2..].iter().all(u8::is_ascii_hexdigit)
}

/// `rest` begins with `%`.
fn reads_as_escape(rest: &str) -> bool {
    hex_pair(rest.as_bytes()).is_some() || rest.starts_with("%~")
}

/// `%XX` in upper case.
fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Where to cut an escaped name so that the mark fits: at a character, and not inside an escape.
fn cut(name: &str) -> usize {
    let mut at = name.floor_char_boundary(LONGEST - MARK);
    for back in 1..=2 {
        if hex_pair(&name.as_bytes()[at - back..]).is_some() {
            at -= back;
            break;
        }
    }
    at
}

/// FNV-1a, 64 bits: stable, and nothing but the distinctness of names rests on it.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 27] = [
        "",
        ".",
        "..",
        "...",
        "a",
        "a/b",
        "%",
        "%%",
        "100%",
        "%41",
        "%2F",
        "%zz",
        "%~",
        "a%~0",
        "x\n\r\0",
        "\u{7f}\u{85}",
        "\u{1b}[31mred",
        "\u{202e}gnp",
        "\u{e9}\u{1f600}",
        " lead and trail ",
        "%2",
        "%E2%82",
        ".git",
        ".GIT.",
        "git~1",
        "ad\u{200b}min",
        "ad\u{feff}min",
    ];

    #[test]
    fn every_text_is_read_back_from_its_name() {
        for text in TEXTS {
            let name = escape(text);
            assert_eq!(unescape(&name).as_deref(), Some(text), "{name:?}");
        }
    }

    #[test]
    fn every_name_is_safe_and_no_two_texts_share_one() {
        let mut names: Vec<_> = TEXTS.iter().map(|text| escape(text)).collect();
        for name in &names {
            assert!(!name.is_empty() && name != "." && name != ".." && name.len() <= LONGEST);
            assert!(!name.contains('/') && omnifs_text::hidden(name).next().is_none(), "{name:?}");
            assert!(!omnifs_text::is_git_directory(name), "{name:?}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), TEXTS.len());
    }

    #[test]
    fn a_name_that_is_cut_ends_in_no_joiner() {
        for start in 0..12 {
            let text = "a".repeat(start) + &"\u{1f469}\u{200d}\u{1f4bb}".repeat(60);
            let name = escape(&text);
            assert!(is_cut(&name) && omnifs_text::hidden(&name).next().is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_second_spelling_of_a_name_shows_nothing() {
        for name in ["%61", "a%2Db", ".", "..", "", "%25x", "%FF", "a/b", "a\nb"] {
            assert_eq!(unescape(name), None, "{name:?}");
        }
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        for text in [
            "api-server",
            "v1.0.0",
            "100%",
            "a b",
            "tools:latest",
            "caf\u{e9}",
            "\u{1f469}\u{200d}\u{1f4bb}",
        ] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn an_over_long_text_is_cut_at_a_character_and_stays_distinct() {
        for unit in ["x", "/", "\u{e9}", "\u{1f600}", "a\n", "\u{202e}"] {
            let long = unit.repeat(400);
            let (a, b) = (escape(&format!("{long}1")), escape(&format!("{long}2")));
            assert!(a.len() <= LONGEST && a != b, "{a:?}");
            assert!(is_cut(&a));
            assert_eq!(unescape(&a), None);
        }
        let fits = "y".repeat(LONGEST);
        assert_eq!(escape(&fits), fits);
        assert!(!is_cut(&fits));
    }
}
