//! Text that comes from a guest, made fit for a log, a status line or an error.

/// One line of at most `max` bytes: line breaks and tabs become spaces, what else is hidden (see
/// [`omnifs_text`]) U+FFFD, and a cut is marked.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let text = text.trim_end();
    let (shown, cut) = if text.len() > max {
        (&text[..text.floor_char_boundary(max.saturating_sub(3))], "...")
    } else {
        (text, "")
    };
    let mut line = omnifs_text::printable(&shown.replace(['\n', '\r', '\t'], " ")).into_owned();
    line.push_str(cut);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_log() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m\u{9b}d\n", 100), "a b c\u{fffd}[31m\u{fffd}d");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(one_line("abcdefgh", 8), "abcdefgh");
        assert_eq!(one_line("abcdefghi", 8), "abcde...");
        assert_eq!(one_line("ééééé", 8), "éé...");
    }
}
