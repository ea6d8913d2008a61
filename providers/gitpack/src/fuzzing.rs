//! What whatever bytes must keep to.

use crate::{Error, Format, object, pack, protocol};

/// Reads bytes in every way that there is. A pack's checksum is made to fit first, so that what is behind it
/// is reached.
pub fn read(bytes: &[u8]) {
    let _ = protocol::capabilities(bytes);
    let _ = protocol::refs(bytes);
    let _ = object::Commit::read(bytes);
    let _ = object::Tag::read(bytes);
    let limits = pack::Limits { objects: 1 << 12, object: 1 << 20, bases: 1 << 12, work: 16 << 20 };
    for format in [Format::Sha1, Format::Sha256] {
        assert!(object::tree(format, bytes).count() <= bytes.len());
        let answered = protocol::fetched(bytes.to_vec()).map(|fetched| fetched.pack);
        for mut bytes in [Some(bytes.to_vec()), answered.ok()].into_iter().flatten() {
            if let Some(hash) = format.hash(&[&bytes]) {
                bytes.extend_from_slice(hash.as_bytes());
            }
            let mut made = 0;
            let read = pack::read::<Error>(&bytes, format, &limits, |id, kind, content| {
                made += content.len() as u64;
                assert_eq!(format.id(kind, content), Some(id));
                assert!(content.len() <= limits.object && made <= limits.work);
                Ok(())
            });
            let _ = read;
        }
    }
}
