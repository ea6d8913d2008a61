//! Where a joiner or a variation selector shows: next to letters and emoji that it acts on.
//!
//! Invariant: between other characters it is hidden, since two texts that differ in it alone would look
//! the same.

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';

/// Whether a hidden character does what it is for between these two texts. By RFC 5892 (appendix A) for
/// scripts, and by UTS #51 for emoji.
pub(crate) fn is_meant(c: char, before: &str, after: &str) -> bool {
    let next = after.chars().next();
    match c {
        ZWJ => in_conjunct(before, next) || at_edge(before, next) || in_emoji(before, next),
        ZWNJ => splits_conjunct(before, next) || splits_cursive(before, next),
        '\u{fe0e}' | '\u{fe0f}' => {
            let last = before.chars().next_back();
            let keycap = last.is_some_and(|c| c.is_ascii_digit() || matches!(c, '#' | '*'));
            last.is_some_and(is_pictographic) || (keycap && next == Some('\u{20e3}'))
        }
        _ => false,
    }
}

/// Whether the text ends in a letter and its virama.
fn ends_in_virama(text: &str) -> bool {
    let mut back = text.chars().rev();
    match (back.next(), back.find(|c| !is_mark(*c))) {
        (Some(virama), Some(letter)) => is_virama(virama) && is_letter_near(letter, virama),
        _ => false,
    }
}

/// Behind a virama it asks for a half form, also at the end of a word. Bengali writes RA, joiner, virama.
fn in_conjunct(before: &str, next: Option<char>) -> bool {
    ends_in_virama(before) || (before.ends_with('\u{9b0}') && next == Some('\u{9cd}'))
}

/// Behind a virama, before a letter of the same script: the letters are not drawn as one.
fn splits_conjunct(before: &str, next: Option<char>) -> bool {
    let virama = before.chars().next_back();
    ends_in_virama(before) && virama.zip(next).is_some_and(|(v, next)| is_letter_near(next, v))
}

/// The last letter, where it would be joined to one that follows.
fn joining(before: &str) -> Option<char> {
    let last = before.chars().rev().find(|c| !is_mark(*c))?;
    (is_cursive(last) && !ends_a_run(last)).then_some(last)
}

/// Between two letters that would be joined without it.
fn splits_cursive(before: &str, next: Option<char>) -> bool {
    joining(before).is_some() && next.is_some_and(is_cursive)
}

/// Behind a letter that is drawn as if another one followed, where none does.
fn at_edge(before: &str, next: Option<char>) -> bool {
    joining(before).is_some() && !next.is_some_and(|next| is_cursive(next) || is_mark(next))
}

/// Between two emoji, the first with its selector or its skin tone.
fn in_emoji(before: &str, next: Option<char>) -> bool {
    let appended = ['\u{fe0f}', '\u{1f3fb}', '\u{1f3fc}', '\u{1f3fd}', '\u{1f3fe}', '\u{1f3ff}'];
    let plain = before.strip_suffix(appended).unwrap_or(before);
    plain.chars().next_back().is_some_and(is_pictographic) && next.is_some_and(is_pictographic)
}

/// In the same part of the code space, which is one script there.
fn is_letter_near(letter: char, virama: char) -> bool {
    letter.is_alphabetic() && u32::from(letter).abs_diff(u32::from(virama)) < 0x80
}

/// Marks that do not keep letters apart: of Arabic, Syriac, N'Ko and Adlam, and the nukta of Indic scripts.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{730}'..='\u{74a}' | '\u{7eb}'..='\u{7f3}' | '\u{8ca}'..='\u{8e1}'
        | '\u{8e3}'..='\u{8ff}' | '\u{93c}' | '\u{9bc}' | '\u{a3c}' | '\u{abc}' | '\u{b3c}'
        | '\u{cbc}' | '\u{1e944}'..='\u{1e94a}')
}

/// Letters of scripts in which letters are joined: Arabic, Syriac, N'Ko, Mandaic, Mongolian, Phags-pa,
/// Adlam (Scripts.txt, blocks of which these are the only letters).
fn is_cursive(c: char) -> bool {
    c.is_alphabetic()
        && !is_mark(c)
        && matches!(c, '\u{620}'..='\u{6ff}' | '\u{710}'..='\u{77f}' | '\u{7ca}'..='\u{7ff}'
            | '\u{840}'..='\u{8c9}' | '\u{1820}'..='\u{18aa}' | '\u{a840}'..='\u{a873}'
            | '\u{1e900}'..='\u{1e943}')
}

/// Letters that are joined to none that follows: what Unicode calls right-joining and non-joining
/// (ArabicShaping.txt), and the tatweel, which is joined in either case.
fn ends_a_run(c: char) -> bool {
    matches!(c, '\u{621}'..='\u{625}' | '\u{627}' | '\u{629}' | '\u{62f}'..='\u{632}' | '\u{640}'
        | '\u{648}' | '\u{671}'..='\u{677}' | '\u{688}'..='\u{699}' | '\u{6c0}'
        | '\u{6c3}'..='\u{6cb}' | '\u{6cd}' | '\u{6cf}' | '\u{6d2}'..='\u{6d5}' | '\u{6e5}'
        | '\u{6e6}' | '\u{6ee}' | '\u{6ef}' | '\u{710}' | '\u{715}'..='\u{719}' | '\u{71e}'
        | '\u{728}' | '\u{72a}' | '\u{72c}' | '\u{72f}' | '\u{74d}' | '\u{759}'..='\u{75b}'
        | '\u{76b}' | '\u{76c}' | '\u{771}' | '\u{773}' | '\u{774}' | '\u{778}' | '\u{779}'
        | '\u{7fa}' | '\u{840}' | '\u{846}' | '\u{847}' | '\u{849}' | '\u{854}'
        | '\u{856}'..='\u{858}' | '\u{867}' | '\u{869}' | '\u{86a}' | '\u{870}'..='\u{888}'
        | '\u{88e}' | '\u{8aa}'..='\u{8ac}' | '\u{8ae}' | '\u{8b1}' | '\u{8b2}' | '\u{8b9}')
}

/// Canonical combining class 9 (UnicodeData.txt).
fn is_virama(c: char) -> bool {
    matches!(c,
            '\u{94d}' | '\u{9cd}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}'
            | '\u{ccd}' | '\u{d3b}'..='\u{d3c}' | '\u{d4d}' | '\u{dca}' | '\u{e3a}' | '\u{eba}'
            | '\u{f84}' | '\u{1039}'..='\u{103a}' | '\u{1714}'..='\u{1715}' | '\u{1734}'
            | '\u{17d2}' | '\u{1a60}' | '\u{1b44}' | '\u{1baa}'..='\u{1bab}'
            | '\u{1bf2}'..='\u{1bf3}' | '\u{2d7f}' | '\u{a806}' | '\u{a82c}' | '\u{a8c4}'
            | '\u{a953}' | '\u{a9c0}' | '\u{aaf6}' | '\u{abed}' | '\u{10a3f}' | '\u{11046}'
            | '\u{11070}' | '\u{1107f}' | '\u{110b9}' | '\u{11133}'..='\u{11134}' | '\u{111c0}'
            | '\u{11235}' | '\u{112ea}' | '\u{1134d}' | '\u{113ce}'..='\u{113d0}' | '\u{11442}'
            | '\u{114c2}' | '\u{115bf}' | '\u{1163f}' | '\u{116b6}' | '\u{1172b}' | '\u{11839}'
            | '\u{1193d}'..='\u{1193e}' | '\u{119e0}' | '\u{11a34}' | '\u{11a47}' | '\u{11a99}'
            | '\u{11c3f}' | '\u{11d44}'..='\u{11d45}' | '\u{11d97}' | '\u{11f41}'..='\u{11f42}'
            | '\u{1612f}'
    )
}

/// `Extended_Pictographic` (emoji-data.txt).
fn is_pictographic(c: char) -> bool {
    matches!(c,
            '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
            | '\u{2194}'..='\u{2199}' | '\u{21a9}'..='\u{21aa}' | '\u{231a}'..='\u{231b}'
            | '\u{2328}' | '\u{2388}' | '\u{23cf}' | '\u{23e9}'..='\u{23f3}'
            | '\u{23f8}'..='\u{23fa}' | '\u{24c2}' | '\u{25aa}'..='\u{25ab}' | '\u{25b6}'
            | '\u{25c0}' | '\u{25fb}'..='\u{25fe}' | '\u{2600}'..='\u{2605}'
            | '\u{2607}'..='\u{2612}' | '\u{2614}'..='\u{2685}' | '\u{2690}'..='\u{2705}'
            | '\u{2708}'..='\u{2712}' | '\u{2714}' | '\u{2716}' | '\u{271d}' | '\u{2721}'
            | '\u{2728}' | '\u{2733}'..='\u{2734}' | '\u{2744}' | '\u{2747}' | '\u{274c}'
            | '\u{274e}' | '\u{2753}'..='\u{2755}' | '\u{2757}' | '\u{2763}'..='\u{2767}'
            | '\u{2795}'..='\u{2797}' | '\u{27a1}' | '\u{27b0}' | '\u{27bf}'
            | '\u{2934}'..='\u{2935}' | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}'..='\u{2b1c}'
            | '\u{2b50}' | '\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
            | '\u{1f000}'..='\u{1f0ff}' | '\u{1f10d}'..='\u{1f10f}' | '\u{1f12f}'
            | '\u{1f16c}'..='\u{1f171}' | '\u{1f17e}'..='\u{1f17f}' | '\u{1f18e}'
            | '\u{1f191}'..='\u{1f19a}' | '\u{1f1ad}'..='\u{1f1e5}' | '\u{1f201}'..='\u{1f20f}'
            | '\u{1f21a}' | '\u{1f22f}' | '\u{1f232}'..='\u{1f23a}' | '\u{1f23c}'..='\u{1f23f}'
            | '\u{1f249}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1f53d}' | '\u{1f546}'..='\u{1f64f}'
            | '\u{1f680}'..='\u{1f6ff}' | '\u{1f774}'..='\u{1f77f}' | '\u{1f7d5}'..='\u{1f7ff}'
            | '\u{1f80c}'..='\u{1f80f}' | '\u{1f848}'..='\u{1f84f}' | '\u{1f85a}'..='\u{1f85f}'
            | '\u{1f888}'..='\u{1f88f}' | '\u{1f8ae}'..='\u{1f8ff}' | '\u{1f90c}'..='\u{1f93a}'
            | '\u{1f93c}'..='\u{1f945}' | '\u{1f947}'..='\u{1faff}' | '\u{1fc00}'..='\u{1fffd}'
    )
}

#[cfg(test)]
mod tests {
    use crate::printable;
    use std::borrow::Cow;

    #[test]
    fn scripts_and_emoji_that_need_joiners_keep_them() {
        for text in [
            "plain \u{1f40b} text",
            // Technologist, also with a skin tone; heart on fire; rainbow flag; keycap.
            "\u{1f469}\u{200d}\u{1f4bb}",
            "\u{1f469}\u{1f3fd}\u{200d}\u{1f4bb}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "1\u{fe0f}\u{20e3}",
            // Persian: mi-khaham. A Hijri year. Arabic with a vowel sign before the non-joiner.
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "1446 \u{647}\u{200d}",
            "\u{645}\u{6cc}\u{650}\u{200c}\u{62e}",
            // Devanagari half form and explicit virama, Sinhala, Malayalam chillu at a word's end, Bengali
            // RA before its virama.
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{915}\u{94d}\u{200c}\u{937}",
            "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",
            "\u{d28}\u{d4d}\u{200d}",
            "\u{9b0}\u{200d}\u{9cd}\u{9af}",
            "\u{1820}\u{200c}\u{1820}",
            "na\u{ef}ve caf\u{e9} \u{65e5}\u{672c}\u{3000}x",
        ] {
            assert!(matches!(printable(text), Cow::Borrowed(_)), "{text:?}");
        }
    }

    #[test]
    fn a_joiner_that_shows_nothing_where_it_stands_is_hidden() {
        for text in [
            // Between letters of scripts that have none, outside of ASCII too.
            "\u{e9}?\u{e9}",
            "\u{3b1}?\u{3b2}",
            "\u{430}?\u{431}",
            "\u{65e5}?\u{672c}",
            "\u{d55c}?\u{ae00}",
            "\u{5d0}?\u{5d1}",
            "\u{e01}?\u{e02}",
            // Between a letter of a script that has them and one of another.
            "\u{645}?\u{e9}x",
            "\u{e9}?\u{645}",
            // Between Indic letters without a virama, and behind a virama that is no letter's.
            "\u{915}?\u{937}",
            "a\u{94d}?\u{937}",
            "\u{430}\u{94d}?b",
            "\u{1f469}?\u{e9}",
        ] {
            for joiner in ["\u{200c}", "\u{200d}"] {
                // Behind an Arabic letter that nothing follows, the joiner shows.
                if joiner == "\u{200d}" && text.starts_with('\u{645}') {
                    continue;
                }
                let hidden = text.replace('?', joiner);
                assert_eq!(printable(&hidden), text.replace('?', "\u{fffd}"), "{hidden:?}");
            }
        }
        for text in [
            // Joined with or without it; not joined with or without it.
            "\u{645}\u{200d}\u{645}",
            "\u{627}\u{200c}\u{645}",
            // One more than is needed.
            "\u{645}\u{200c}\u{200c}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{200d}\u{937}",
            "\u{1f469}\u{200d}\u{200d}\u{1f4bb}",
            "\u{1f469}\u{200c}\u{1f4bb}",
            "\u{e9}\u{fe0f}",
            "\u{65e5}\u{fe0e}",
            "\u{1f469}\u{fe0f}\u{fe0f}",
        ] {
            assert!(printable(text).contains('\u{fffd}'), "{text:?}");
        }
    }
}
