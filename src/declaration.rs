//! Services that a TOML file declares.
//!
//! Invariant: the component that is made of such a file is one like any other. The file is among its bytes, in the
//! slot that the shipped component `rest` has for it (`providers/rest/src/slot.rs`), so the digest covers it, its
//! manifest is what the component makes of it, and nothing is handed over when it runs.

use crate::shipped;
use crate::wasm::SAID;
use std::path::Path;

/// What the slot begins with, and how many digits say the file's length.
const MARK: &[u8] = b"omnifs:declared-service:slot:v1\n";
const DIGITS: usize = 8;
/// Bytes of the slot that a file may fill.
const ROOM: usize = 32 << 10;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it has {0} bytes, and a file that declares a service at most {ROOM}")]
    TooLong(usize),
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8")]
    NotText,
    #[error("this omnifs was built without the component that reads such files")]
    NoReader,
}

/// A file that ships inside the binary. It does nothing before the user has added it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    pub name: &'static str,
    pub summary: &'static str,
    pub text: &'static str,
}

/// Those that ship, by name; none where the component that reads them does not.
pub fn shipped() -> &'static [Shipped] {
    if shipped::DECLARED.is_some() { shipped::SPECS } else { &[] }
}

/// Whether a file is read as one that declares a service.
pub fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// The component of such a file. Whether the file is right is said when it is described.
///
/// # Errors
/// What keeps it from being made.
pub fn component(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let packed = shipped::DECLARED.ok_or(Fault::NoReader)?;
    write(packed.unpack(), text)
}

fn write(mut reader: Vec<u8>, text: &[u8]) -> Result<Vec<u8>, Fault> {
    match text {
        [] => return Err(Fault::Empty),
        _ if text.len() > ROOM => return Err(Fault::TooLong(text.len())),
        _ if std::str::from_utf8(text).is_err() => return Err(Fault::NotText),
        _ => {}
    }
    let mut slots = memchr::memmem::find_iter(&reader, MARK);
    let (Some(slot), None) = (slots.next(), slots.next()) else { return Err(Fault::NoReader) };
    let from = slot + MARK.len();
    let filled = format!("{:0DIGITS$}", text.len()).into_bytes();
    let whole = reader.get_mut(from..from + DIGITS + ROOM).ok_or(Fault::NoReader)?;
    whole[..DIGITS].copy_from_slice(&filled);
    whole[DIGITS..DIGITS + text.len()].copy_from_slice(text);
    Ok(reader)
}

/// What is wrong with the file, out of why its component could not be described: the component's own words.
pub fn why(detail: &str) -> &str {
    detail.split_once(SAID).map_or(detail, |(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Vec<u8> {
        [b"before", MARK, b"00000000", &[b' '; ROOM], b"after"].concat()
    }

    #[test]
    fn a_file_fills_the_slot_and_nothing_else_of_the_component() {
        let text = b"name = 'x'\n";
        let made = write(reader(), text).unwrap();
        let mut expected = reader();
        let from = b"before".len() + MARK.len();
        expected[from..from + DIGITS].copy_from_slice(b"00000011");
        expected[from + DIGITS..][..text.len()].copy_from_slice(text);
        assert_eq!(made, expected);
        assert!(write(reader(), &[b'#'; ROOM]).is_ok());
    }

    #[test]
    fn what_cannot_be_written_into_a_component_is_refused() {
        assert_eq!(write(reader(), b""), Err(Fault::Empty));
        assert_eq!(write(reader(), &[b'#'; ROOM + 1]), Err(Fault::TooLong(ROOM + 1)));
        assert_eq!(write(reader(), b"\xff"), Err(Fault::NotText));
        for odd in [b"none".to_vec(), [reader(), reader()].concat(), MARK.to_vec()] {
            assert_eq!(write(odd, b"x"), Err(Fault::NoReader));
        }
    }

    #[test]
    fn the_shipped_component_has_one_slot() {
        let Some(packed) = shipped::DECLARED else { return };
        let bytes = packed.unpack();
        assert_eq!(component(b"x").map(|made| made.len()), Ok(bytes.len()));
    }
}
