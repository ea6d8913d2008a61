//! A ZIP archive of stored entries (APPNOTE 4.3), for the logs of a run.

/// As ZIP and gzip have it.
pub(crate) fn crc32(content: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Names are used as they are; entries stay under 4 GiB by the size of the twins' data.
pub(crate) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let offset = out.len() as u32;
        let size = content.len() as u32;
        // Version 2.0, UTF-8 names, stored, 1980-01-01 00:00.
        let mut shared = Vec::new();
        for half in [20_u16, 1 << 11, 0, 0, 33] {
            shared.extend_from_slice(&half.to_le_bytes());
        }
        for word in [crc32(content), size, size] {
            shared.extend_from_slice(&word.to_le_bytes());
        }
        shared.extend_from_slice(&(name.len() as u16).to_le_bytes());
        shared.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&shared);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(content);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&shared);
        // No comment, first disk, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let start = out.len() as u32;
    let size = directory.len() as u32;
    let count = (entries.len() as u16).to_le_bytes();
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn an_archive_ends_in_a_directory_that_points_at_every_entry() {
        let zip = archive(&[("a.txt".into(), b"hello".to_vec()), ("b/c.txt".into(), vec![])]);
        let end = zip.len() - 22;
        assert_eq!(&zip[end..end + 4], b"PK\x05\x06");
        let word = |at: usize| {
            u32::from_le_bytes([zip[at], zip[at + 1], zip[at + 2], zip[at + 3]]) as usize
        };
        let (size, start) = (word(end + 12), word(end + 16));
        assert_eq!(start + size, end);
        assert_eq!(&zip[start..start + 4], b"PK\x01\x02");
        let second = start + 46 + "a.txt".len();
        assert_eq!(&zip[second..second + 4], b"PK\x01\x02");
        assert_eq!(&zip[word(second + 42)..word(second + 42) + 4], b"PK\x03\x04");
    }
}
