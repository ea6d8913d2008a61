//! What the volume is, as far as Windows asks.

use crate::Statfs;

/// What Explorer shows beside the letter. At most 32 units.
pub const LABEL: &str = "omnifs";
/// What `fsutil` and `GetVolumeInformation` call the file system. At most 15 units.
pub const FILE_SYSTEM: &str = "omnifs";
/// The longest name, in UTF-16 units. No name is longer in units than in bytes, of which it has 255
/// at most.
pub const NAME_MAX: u16 = 255;
/// Bytes of a sector, which is an allocation unit too.
pub const SECTOR: u16 = 4096;

/// How often what has changed is told to the system, in milliseconds. The `winfsp` crate sends
/// notifications from a timer only, so this is how long a program can be answered from the system's
/// caches with what is no longer true. A tick without a change takes a lock and looks at an empty
/// queue: under a microsecond, ten times a second.
pub const NOTIFY_EVERY: u32 = 100;

/// How long Windows waits for an answer, in milliseconds: well beyond every deadline of the core,
/// within the one to ten minutes that WinFsp admits.
pub const ANSWER_WITHIN: u32 = 300_000;

/// Requests that can be under way at once. One that waits for a service holds its thread, and the
/// others must not wait with it.
pub const THREADS: u32 = 32;

/// Bytes that one read copies at most; Windows asks again for more.
pub const READ_MAX: usize = 1 << 20;

/// How the volume is mounted.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Tells this volume from others; the same for the same configuration.
    pub serial: u32,
    /// A FILETIME.
    pub created: u64,
    /// Read by the system without asking, until a notification: `u32::MAX`, for ever.
    pub info_timeout: u32,
}

impl Volume {
    /// Of the things by which a configuration is told from another, in their order.
    pub fn new<'a>(identity: impl IntoIterator<Item = &'a str>, created: u64) -> Volume {
        Volume { serial: serial(identity), created, info_timeout: u32::MAX }
    }
}

/// FNV-1a over the parts, each with its end, so that `a, bc` is not `ab, c`. Never 0, which some
/// programs take for "none".
fn serial<'a>(identity: impl IntoIterator<Item = &'a str>) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for part in identity {
        for byte in part.bytes().chain([0xFF]) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash.max(1)
}

/// Bytes of the volume and free bytes: it is as large as what is cached, and full, so that nobody
/// plans to write here.
pub fn size(told: Statfs) -> (u64, u64) {
    (told.used.max(u64::from(SECTOR)), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_follows_the_configuration_and_is_the_same_each_time() {
        assert_eq!(serial(["github", "linear"]), serial(["github", "linear"]));
        assert_ne!(serial(["github", "linear"]), serial(["githublinear"]));
        assert_ne!(serial(["github"]), serial(["linear"]));
        assert_eq!(serial(["docker"]), 0xe8eb_b5b6, "it must not move between versions");
        assert_ne!(serial([]), 0);
    }

    #[test]
    fn the_volume_is_full_whatever_it_holds() {
        for used in [0, 1, 1 << 40] {
            let (total, free) = size(Statfs { used, nodes: 1 });
            assert!(total >= used && total > 0 && free == 0);
        }
    }

    #[test]
    fn what_is_told_to_winfsp_is_within_its_bounds() {
        assert!((60_000..=600_000).contains(&ANSWER_WITHIN));
        assert!(LABEL.len() <= 32 && FILE_SYSTEM.len() <= 15);
        assert!(NOTIFY_EVERY > 0 && SECTOR.is_power_of_two());
        assert_eq!(Volume::new(["x"], 0).info_timeout, u32::MAX);
    }
}
