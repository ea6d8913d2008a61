//! Text that somebody else wrote, made fit to be read: names, log lines, what a user is asked to approve.
//!
//! One rule for all of them, on both sides of the sandbox. A character is *hidden* when it shows nothing
//! itself, or acts on how its neighbours are shown: a reader cannot tell a text with it from one without.

mod joiners;

use std::borrow::Cow;

/// Control characters; line and paragraph separators; what Unicode calls default-ignorable (zero widths,
/// joiners, direction marks, fillers, tags, variation selectors: DerivedCoreProperties.txt); annotation
/// and hieroglyph controls; the braille blank; noncharacters.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// The hidden characters of a text, each with its byte offset.
pub fn hidden(text: &str) -> impl Iterator<Item = (usize, char)> {
    text.char_indices().filter(|(at, c)| {
        is_hidden(*c) && !joiners::is_meant(*c, &text[..*at], &text[at + c.len_utf8()..])
    })
}

/// The text with `U+FFFD` in the place of each hidden character.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    let mut from = 0;
    for (at, c) in hidden(text) {
        shown.push_str(&text[from..at]);
        shown.push(char::REPLACEMENT_CHARACTER);
        from = at + c.len_utf8();
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[from..]);
    Cow::Owned(shown)
}

/// Whether git, on some system, opens the repository of a directory at an entry of this name: `.git` in
/// any case, with the dots and blanks that Windows cuts off, and the short name that it gives to it.
pub fn is_git_directory(name: &str) -> bool {
    let plain = name.trim_end_matches(['.', ' ']);
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_cannot_see_is_hidden() {
        for (text, shown) in [
            ("a\x1b[31mred\r\n\u{9b}x", "a?[31mred???x"),
            ("\u{202e}gnp.exe", "?gnp.exe"),
            ("a\u{2066}b\u{2069}c\u{200e}d\u{200f}e\u{61c}f", "a?b?c?d?e?f"),
            ("one\u{2028}two\u{2029}three\u{85}four", "one?two?three?four"),
            (
                "ad\u{200b}min ad\u{200d}min ad\u{200c}min ad\u{fe0f}min ad\u{ad}min",
                "ad?min ad?min ad?min ad?min ad?min",
            ),
            (
                "x\u{2060}\u{2062}\u{feff}\u{180e}\u{115f}\u{3164}\u{ffa0}\u{2800}\u{34f}",
                "x?????????",
            ),
            ("tag\u{e0041}\u{e007f}\u{e0100}", "tag???"),
            ("\u{fff9}note\u{fffb}\u{fdd0}\u{ffff}\u{1fffe}", "?note????"),
            ("\u{200d}x", "?x"),
        ] {
            assert_eq!(printable(text), shown.replace('?', "\u{fffd}"), "{text:?}");
        }
    }

    #[test]
    fn a_repository_of_git_is_known_by_each_of_its_names() {
        for name in [".git", ".GIT", ".Git.", ".git ", "git~1", "GIT~1", ".git. ."] {
            assert!(is_git_directory(name), "{name:?}");
        }
        for name in [".gitignore", "git", "x.git", ".github", "git~2", ""] {
            assert!(!is_git_directory(name), "{name:?}");
        }
    }
}
