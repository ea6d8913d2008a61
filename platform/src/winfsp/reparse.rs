//! Symbolic links as reparse points ([MS-FSCC] section 2.1.2.4).

use super::info::SYMLINK_TAG;
use super::names;

/// `SYMLINK_FLAG_RELATIVE`: the target counts from the link's directory.
const RELATIVE: u32 = 1;

/// The target of a link, as upstream writes it, in Windows's form: `\` between names, each name as
/// it is shown. A name that is plain in its directory and escaped there, because another differs in
/// case only, is meant as it is plain.
pub fn target(upstream: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(upstream.len());
    for (index, part) in upstream.split('/').filter(|part| !part.is_empty()).enumerate() {
        if index > 0 {
            units.push(b'\\' as u16);
        }
        match part {
            "." | ".." => units.extend(part.encode_utf16()),
            name => units.append(&mut names::encode(name)),
        }
    }
    units
}

/// `REPARSE_DATA_BUFFER` of a relative symbolic link. `None`: the target is too long for one.
pub fn buffer(target: &[u16]) -> Option<Vec<u8>> {
    // Substitute name and print name are the same here, and share their bytes.
    let name = u16::try_from(2 * target.len()).ok()?;
    let length = name.checked_add(12)?;
    let mut bytes = Vec::with_capacity(8 + usize::from(length));
    bytes.extend_from_slice(&SYMLINK_TAG.to_le_bytes());
    for field in [length, 0, 0, name, 0, name] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&RELATIVE.to_le_bytes());
    target.iter().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_with_backslashes_and_shown_names() {
        let rows = [
            ("file", "file"),
            ("../files/line", "..\\files\\line"),
            ("./a//b/", ".\\a\\b"),
            ("a:b/CON", "a\u{f03a}b\\\u{f043}\u{f04f}\u{f04e}"),
            ("", ""),
        ];
        for (upstream, expected) in rows {
            assert_eq!(String::from_utf16(&target(upstream)).unwrap(), expected, "{upstream}");
        }
    }

    #[test]
    fn the_buffer_is_laid_out_as_the_specification_says() {
        let bytes = buffer(&target("../x")).unwrap();
        let expected: &[&[u8]] = &[
            &[0x0C, 0, 0, 0xA0, 20, 0, 0, 0],
            &[0, 0, 8, 0, 0, 0, 8, 0, 1, 0, 0, 0],
            &[b'.', 0, b'.', 0, b'\\', 0, b'x', 0],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(buffer(&vec![0x61; 40_000]), None);
    }
}
