//! Where this component has its file.
//!
//! The host finds [`SLOT`] in the component's bytes by its beginning and writes the file into it
//! (`src/declaration.rs`), so a component with a file is a component like any other: its digest covers
//! the file, and nothing has to be handed over when it runs.

/// What the slot begins with. It stands nowhere else in the component.
const MARK: [u8; 32] = *b"omnifs:declared-service:slot:v1\n";
/// Decimal digits of the length, after the mark.
const DIGITS: usize = 8;
/// Bytes that a file may have.
const ROOM: usize = 32 << 10;

/// The mark, the file's length, and the file. Blanks, since zeros need not be in a component's bytes.
#[used]
static SLOT: [u8; MARK.len() + DIGITS + ROOM] = empty();

const fn empty() -> [u8; MARK.len() + DIGITS + ROOM] {
    let mut slot = [b' '; MARK.len() + DIGITS + ROOM];
    let mut at = 0;
    while at < MARK.len() + DIGITS {
        slot[at] = if at < MARK.len() { MARK[at] } else { b'0' };
        at += 1;
    }
    slot
}

/// A byte as it is in the component that runs. A plain read would be done by the compiler, which knows
/// what the slot held when it was built.
#[allow(unsafe_code)]
fn byte(at: usize) -> u8 {
    // SAFETY: the index is checked, and the byte is part of a static that nothing writes.
    unsafe { std::ptr::read_volatile(&raw const SLOT[at]) }
}

/// The file, or nothing where the host has written none.
pub fn text() -> Option<String> {
    let digits: Vec<u8> = (MARK.len()..MARK.len() + DIGITS).map(byte).collect();
    let length: usize = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    let from = MARK.len() + DIGITS;
    let bytes: Vec<u8> = (from..from + length.min(ROOM)).map(byte).collect();
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}
