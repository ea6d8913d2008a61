//! Names: every name that an upstream object can have as a name that Windows takes, and back.
//!
//! What Windows forbids is written with characters of the private use area, U+F000 + the byte, as
//! WinFsp's FUSE layer, Cygwin and Samba do: so a listing shows `a:b` as `a\u{f03a}b`, and `type`
//! of that name finds it. Four things are escaped:
//!
//! - the characters `" * : < > ? | \`, and control characters;
//! - a final dot or space, which Win32 cuts off;
//! - the stem of a device name (`CON`, `nul.txt`, `COM1`), all of it;
//! - a character that is in U+F000..=U+F0FF itself, as the bytes of its UTF-8.
//!
//! Case is kept and does not count. Of the names of one directory that differ in case only, one is
//! *plain* and the others have their capitals escaped too ([`escape_case`]), so that each can be
//! typed and none hides another. [`Group`] says which is which.
//!
//! Invariants, held by property tests: [`decode`] undoes [`encode`] and [`escape_case`]; no two
//! names give one; none of them is reserved; none is longer in UTF-16 units than the name in bytes.

/// Escaped bytes start here.
const ESCAPED: u16 = 0xF000;

/// What Win32 and NTFS take for a device whatever follows a dot. The digits one to three in
/// superscript count as digits.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
const NUMBERED: [&str; 2] = ["COM", "LPT"];

/// The name as Windows is shown it.
pub fn encode(name: &str) -> Vec<u16> {
    write(name, |_| false)
}

/// The name with every character escaped that another case of the name could differ in, so that it
/// is unlike all names that differ from it in case.
pub fn escape_case(name: &str) -> Vec<u16> {
    write(name, |c| !settled_character(c))
}

fn write(name: &str, also: impl Fn(char) -> bool) -> Vec<u16> {
    let device = device_stem(name).unwrap_or(0);
    let last = name.char_indices().next_back();
    let mut units = Vec::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let ends = matches!(c, '.' | ' ') && last == Some((at, c));
        if at < device || ends || forbidden(c) || also(c) {
            let mut bytes = [0; 4];
            units.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| ESCAPED + u16::from(byte)));
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    units
}

fn forbidden(c: char) -> bool {
    matches!(c, '"' | '*' | ':' | '<' | '>' | '?' | '|' | '\\' | '/')
        || c < ' '
        || ('\u{f000}'..='\u{f0ff}').contains(&c)
}

/// Whether the name of this upper-cased stem is a device, and how long the stem is, in bytes.
fn device_stem(name: &str) -> Option<usize> {
    let stem = name.split(['.', ':']).next().unwrap_or(name).trim_end_matches(' ');
    let upper = stem.to_uppercase();
    let numbered = || {
        let rest = NUMBERED.iter().find_map(|device| upper.strip_prefix(device))?;
        let mut digits = rest.chars();
        let digit = digits.next()?;
        let one = matches!(digit, '0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}');
        (one && digits.next().is_none()).then_some(())
    };
    (DEVICES.contains(&upper.as_str()) || numbered().is_some()).then_some(stem.len())
}

/// The upstream name of what Windows was shown as `units`. `None`: no name is shown so.
pub fn decode(units: &[u16]) -> Option<String> {
    let mut bytes = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit.ok()? {
            c @ '\u{f000}'..='\u{f0ff}' => bytes.push((c as u32 & 0xFF) as u8),
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name) == units || escape_case(&name) == units).then_some(name)
}

/// The same for all names that Windows could take for one another. It is coarser than the upper
/// case of the file system driver, which maps single units: what the driver takes for the same is
/// the same here.
pub fn fold(units: &[u16]) -> Vec<u16> {
    let mut folded = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(c) => {
                for upper in c.to_uppercase() {
                    folded.extend_from_slice(upper.encode_utf16(&mut [0; 2]));
                }
            }
            // A half of a pair is in no name; it stays, so that it is found in none.
            Err(half) => folded.push(half.unpaired_surrogate()),
        }
    }
    folded
}

/// Whether the name is its own lower case, as far as there is only one: then no other name of its
/// kind can be the plain one.
pub fn settled(name: &str) -> bool {
    name.chars().all(settled_character)
}

/// Without a case, or the lower-case half of a pair.
fn settled_character(c: char) -> bool {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) if upper == c => c.to_lowercase().eq([c]),
        (Some(upper), None) => upper.to_lowercase().eq([c]),
        _ => false,
    }
}

/// The parts of an absolute path `\a\b`; none for the root. `None`: it is not such a path.
pub fn components(path: &[u16]) -> Option<Vec<&[u16]>> {
    const SEPARATOR: u16 = b'\\' as u16;
    let below = path.strip_prefix(&[SEPARATOR])?;
    let below = below.strip_suffix(&[SEPARATOR]).unwrap_or(below);
    if below.is_empty() {
        return Some(Vec::new());
    }
    let parts: Vec<_> = below.split(|unit| *unit == SEPARATOR).collect();
    parts.iter().all(|part| !part.is_empty()).then_some(parts)
}

/// `\a` and `b` to `\a\b`; the root is `\`.
pub fn join(directory: &[u16], name: &[u16]) -> Vec<u16> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if path.last() != Some(&(b'\\' as u16)) {
        path.push(b'\\' as u16);
    }
    path.extend_from_slice(name);
    path
}

/// Which of the names that fold to the same is the plain one: the one without capitals if it is
/// there, else the first by its bytes. The same whatever the order of a listing.
#[derive(Debug, Default)]
pub struct Group<'a>(Option<&'a str>);

impl<'a> Group<'a> {
    pub fn add(&mut self, name: &'a str) {
        let rank = |name: &'a str| (!settled(name), name);
        if self.0.is_none_or(|plain| rank(name) < rank(plain)) {
            self.0 = Some(name);
        }
    }

    /// How a name of this group is shown.
    pub fn shown(&self, name: &str) -> Vec<u16> {
        if self.0 == Some(name) { encode(name) } else { escape_case(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn text(units: &[u16]) -> String {
        String::from_utf16(units).unwrap()
    }

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn each_kind_of_name_has_its_form() {
        let rows = [
            ("title", "title"),
            ("README.md", "README.md"),
            ("na\u{ef}ve \u{1f980}", "na\u{ef}ve \u{1f980}"),
            (".hidden", ".hidden"),
            (" leading", " leading"),
            ("a:b", "a\u{f03a}b"),
            ("\"*<>?|\\", "\u{f022}\u{f02a}\u{f03c}\u{f03e}\u{f03f}\u{f07c}\u{f05c}"),
            ("a\u{1}b", "a\u{f001}b"),
            ("end.", "end\u{f02e}"),
            ("end ", "end\u{f020}"),
            ("end. .", "end. \u{f02e}"),
            ("...", "..\u{f02e}"),
            (" ", "\u{f020}"),
            ("CON", "\u{f043}\u{f04f}\u{f04e}"),
            ("nul.txt", "\u{f06e}\u{f075}\u{f06c}.txt"),
            ("nul .x", "\u{f06e}\u{f075}\u{f06c} .x"),
            ("aux.", "\u{f061}\u{f075}\u{f078}\u{f02e}"),
            ("Com1", "\u{f043}\u{f06f}\u{f06d}\u{f031}"),
            ("lpt\u{b2}", "\u{f06c}\u{f070}\u{f074}\u{f0c2}\u{f0b2}"),
            ("conin$", "\u{f063}\u{f06f}\u{f06e}\u{f069}\u{f06e}\u{f024}"),
            ("com", "com"),
            ("com12", "com12"),
            ("console", "console"),
            ("\u{f03a}", "\u{f0ef}\u{f080}\u{f0ba}"),
            ("\u{f100}", "\u{f100}"),
        ];
        for (name, shown) in rows {
            assert_eq!(text(&encode(name)), shown, "{name:?}");
            assert_eq!(decode(&wide(shown)).as_deref(), Some(name), "{shown:?}");
        }
    }

    #[test]
    fn what_no_name_is_shown_as_decodes_to_nothing() {
        for shown in ["a:b", "CON", "end.", "nul.txt", "a\u{f061}", "\u{f0ff}", "\u{f0c3}x", "a*"] {
            assert_eq!(decode(&wide(shown)), None, "{shown:?}");
        }
        assert_eq!(decode(&[0xD800, 0x61]), None);
    }

    #[test]
    fn of_names_that_differ_in_case_each_has_a_name_of_its_own() {
        let shown = |names: &[&str]| -> Vec<String> {
            let mut group = Group::default();
            names.iter().for_each(|name| group.add(name));
            names.iter().map(|name| text(&group.shown(name))).collect()
        };
        assert_eq!(shown(&["README", "Readme"]), ["README", "\u{f052}eadme"]);
        assert_eq!(
            shown(&["UPPER", "upper", "Upper"]),
            ["\u{f055}\u{f050}\u{f050}\u{f045}\u{f052}", "upper", "\u{f055}pper"]
        );
        assert_eq!(shown(&["ENG"]), ["ENG"]);
        // The driver does not take these two for one another; a coarser one could.
        assert_eq!(shown(&["strasse", "stra\u{df}e"]), ["strasse", "stra\u{f0c3}\u{f09f}e"]);
    }

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        let parts = |path: &str| {
            components(&wide(path)).map(|parts| parts.into_iter().map(text).collect::<Vec<_>>())
        };
        assert_eq!(parts("\\"), Some(vec![]));
        assert_eq!(parts("\\a"), Some(vec!["a".into()]));
        assert_eq!(parts("\\a\\b c"), Some(vec!["a".into(), "b c".into()]));
        assert_eq!(parts("\\a\\"), Some(vec!["a".into()]));
        for bad in ["", "a", "a\\b", "\\\\a", "\\a\\\\b"] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
        assert_eq!(text(&join(&wide("\\"), &wide("a"))), "\\a");
        assert_eq!(text(&join(&wide("\\a"), &wide("b"))), "\\a\\b");
    }

    /// Names in which the awkward things are frequent.
    fn names() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-zA-Z0-9]{1,3}",
            Just("CON".to_owned()),
            Just("nul".to_owned()),
            Just("Lpt9".to_owned()),
            "[.: \\\\?*<>|\"$]{1,2}",
            "[\u{1}-\u{1f}]",
            "[\u{f000}-\u{f0ff}]",
            "[\u{df}\u{131}\u{17f}\u{3c2}\u{3c3}\u{3a3}\u{b5}\u{1c5}\u{212a}\u{1e9e}\u{fb01}]",
            "\\PC",
        ];
        prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat()).prop_filter(
            "not a name upstream",
            |name| {
                let dots = name == "." || name == "..";
                !dots && !name.contains(['/', '\0']) && (1..=255).contains(&name.len())
            },
        )
    }

    fn reserved(units: &[u16]) -> bool {
        let name = text(units);
        name.chars().any(|c| c < ' ' || "\"*:<>?|\\/".contains(c))
            || name.ends_with(['.', ' '])
            || device_stem(&name).is_some()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_name_comes_back_and_is_never_reserved(name in names()) {
            for shown in [encode(&name), escape_case(&name)] {
                prop_assert_eq!(decode(&shown), Some(name.clone()));
                prop_assert!(!reserved(&shown), "{:?} as {:?}", name, text(&shown));
                prop_assert!(!shown.is_empty() && shown.len() <= name.len());
            }
        }

        #[test]
        fn whatever_is_typed_is_the_form_of_its_name_or_of_none(
            units in prop::collection::vec(prop_oneof![any::<u16>(), 0x20..0x7f_u16, 0xF000..0xF100_u16], 1..8)
        ) {
            if let Some(name) = decode(&units) {
                prop_assert!(encode(&name) == units || escape_case(&name) == units);
            }
        }

        #[test]
        fn the_shown_names_of_a_directory_differ_by_more_than_case(
            some in prop::collection::hash_set(names(), 1..6),
            flips in prop::collection::vec(any::<bool>(), 40),
        ) {
            // Each name in several cases beside it.
            let mut all: HashSet<String> = some.clone();
            for name in &some {
                all.insert(name.to_uppercase());
                all.insert(name.to_lowercase());
                let flipped = name.chars().zip(flips.iter().cycle()).map(|(c, flip)| {
                    if *flip { c.to_uppercase().collect() } else { c.to_string() }
                });
                all.insert(flipped.collect());
            }
            let mut groups: HashMap<Vec<u16>, Group> = HashMap::new();
            for name in &all {
                groups.entry(fold(&wide(name))).or_default().add(name);
            }
            let mut seen = HashMap::new();
            for name in &all {
                let shown = groups[&fold(&wide(name))].shown(name);
                prop_assert_eq!(decode(&shown), Some(name.clone()));
                if let Some(other) = seen.insert(fold(&shown), name) {
                    prop_assert!(false, "{:?} and {:?} are both {:?}", name, other, text(&shown));
                }
            }
        }
    }
}
