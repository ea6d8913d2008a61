//! Deltas: how to make one object of another.

use crate::{Error, Result};

/// The object that `delta` makes of `base`, of at most `most` bytes.
pub(crate) fn apply(base: &[u8], delta: &[u8], most: usize) -> Result<Vec<u8>> {
    const SHORT: Error = Error::Damaged("a delta ends early");
    let mut rest = delta;
    if size(&mut rest)? != base.len() as u64 {
        return Err(Error::Damaged("a delta is for a base of another size"));
    }
    let length = usize::try_from(size(&mut rest)?).ok().filter(|length| *length <= most);
    let length = length.ok_or(Error::TooLarge("an object"))?;
    let mut out = Vec::with_capacity(length);
    while let Some((&operation, after)) = rest.split_first() {
        rest = after;
        let part = if operation & 0x80 != 0 {
            let (mut from, mut count) = (0_usize, 0_usize);
            for bit in 0..7 {
                if operation & (1 << bit) != 0 {
                    let (&byte, after) = rest.split_first().ok_or(SHORT)?;
                    rest = after;
                    let byte = usize::from(byte);
                    if bit < 4 {
                        from |= byte << (8 * bit)
                    } else {
                        count |= byte << (8 * (bit - 4))
                    }
                }
            }
            let count = if count == 0 { 0x1_0000 } else { count };
            let end = from.checked_add(count).ok_or(SHORT)?;
            base.get(from..end).ok_or(Error::Damaged("a delta copies what is not there"))?
        } else if operation > 0 {
            let (part, after) = rest.split_at_checked(usize::from(operation)).ok_or(SHORT)?;
            rest = after;
            part
        } else {
            return Err(Error::Damaged("a delta with a reserved operation"));
        };
        if part.len() > length - out.len() {
            return Err(Error::Damaged("a delta makes more than it says"));
        }
        out.extend_from_slice(part);
    }
    if out.len() == length {
        Ok(out)
    } else {
        Err(Error::Damaged("a delta makes less than it says"))
    }
}

/// Seven bits in each byte, the lowest first.
fn size(rest: &mut &[u8]) -> Result<u64> {
    let mut size = 0_u64;
    for shift in (0..57).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Error::Damaged("a delta ends early"))?;
        *rest = after;
        size |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err(Error::TooLarge("an object"))
}
