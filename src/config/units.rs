//! Sizes, durations and capacities as people write them. No error repeats the text: it may be a secret in
//! the wrong place, and whoever reads the error knows the place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A size in bytes: `65536`, `64KiB`, `512 MiB`, `1.5GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("tib", 1 << 40),
];

/// Splits `512 MiB` into the number and the unit in lower case.
fn split(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    Some((number, unit.trim().to_ascii_lowercase()))
}

impl Size {
    /// # Errors
    /// Beyond 2^53 a float no longer holds every byte count, and no cache is that large.
    pub fn new(bytes: u64) -> Result<Size, String> {
        if bytes > 1 << 53 { Err("is too large for a size".into()) } else { Ok(Size(bytes)) }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || "is not a size; write for example 512MiB".to_owned();
        if let Ok(bytes) = text.trim().parse() {
            return Size::new(bytes);
        }
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let unit = unit.strip_suffix("s").unwrap_or(&unit);
        let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        // What is beyond the largest number becomes that.
        Size::new((number * scale as f64) as u64)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0 {
            n if n >= 1 << 30 => ("GiB", 1u64 << 30),
            n if n >= 1 << 20 => ("MiB", 1 << 20),
            n if n >= 1 << 10 => ("KiB", 1 << 10),
            n => return write!(f, "{n}"),
        };
        if self.0.is_multiple_of(scale) {
            write!(f, "{}{unit}", self.0 / scale)
        } else {
            write!(f, "{:.1}{unit}", self.0 as f64 / scale as f64)
        }
    }
}

/// A year and more; up to there a float holds every millisecond.
const LONGEST: Duration = Duration::from_secs(10_000 * 3600);

/// Reads `30s`, `500ms`, `2m`, `1h`, to the millisecond.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a duration; write for example 30s".to_owned();
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let scale = match unit.as_str() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let length = Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())?;
    if length > LONGEST {
        return Err("is too long; give at most 10000h".into());
    }
    let length = Duration::from_millis((length.as_secs_f64() * 1000.0).round() as u64);
    if length.is_zero() { Err("a duration of 0 would fail every call".into()) } else { Ok(length) }
}

/// How much the cache may hold, as `--cache-capacity` takes it: `NODES`, `NODES,BYTES` or `,BYTES`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    pub nodes: Option<u64>,
    pub bytes: Option<Size>,
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Capacity, String> {
        let (nodes, bytes) = text.split_once(',').map_or((text, None), |(n, b)| (n, Some(b)));
        let nodes = match nodes.trim() {
            "" if bytes.is_some() => None,
            nodes => Some(nodes.parse().map_err(|_| {
                "is not a number of nodes; write for example 100000,512MiB".to_owned()
            })?),
        };
        let bytes: Option<Size> = bytes.map(str::parse).transpose()?;
        if let Some(nodes) = nodes {
            check_nodes(nodes)?;
        }
        if let Some(bytes) = bytes {
            check_bytes(bytes)?;
        }
        Ok(Capacity { nodes, bytes })
    }
}

/// The deepest path and its directories must fit, or every step would evict the one before it.
pub const LEAST_NODES: u64 = 256;
/// Far beyond what memory holds; it keeps every later sum within 64 bits.
pub const MOST_NODES: u64 = 1 << 32;
pub const LEAST_BYTES: Size = Size(1 << 20);

pub fn check_nodes(nodes: u64) -> Result<(), String> {
    match nodes {
        n if n < LEAST_NODES => Err(format!("{n} nodes are too few; give at least {LEAST_NODES}")),
        n if n > MOST_NODES => Err(format!("{n} nodes are too many; give at most {MOST_NODES}")),
        _ => Ok(()),
    }
}

pub fn check_bytes(bytes: Size) -> Result<(), String> {
    if bytes < LEAST_BYTES {
        return Err(format!("{bytes} bytes are too few; give at least {LEAST_BYTES}"));
    }
    Ok(())
}

/// Of `disk` in `[cache]`: nothing, or enough for a store to be one.
pub fn check_disk(bytes: Size) -> Result<(), String> {
    let least = Size(crate::disk::LEAST);
    if bytes.0 > 0 && bytes < least {
        return Err(format!("{bytes} bytes are too few; give at least {least}, or 0 for none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64k", 65536),
            ("512MiB", 512 << 20),
            (" 1.5 GB ", 1_500_000_000),
            ("1tib", 1 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.2.3", "1 parsec", "inf", "nan", "99999999TiB", "0x10"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        // With a unit or without.
        assert_eq!("9007199254740992".parse(), Ok(Size(1 << 53)));
        assert!("9007199254740993".parse::<Size>().is_err());
    }

    #[test]
    fn a_shown_size_reads_back_where_it_is_whole() {
        for size in [0, 1, 1023, 1 << 10, 512 << 20, 3 << 30] {
            assert_eq!(Size(size).to_string().parse(), Ok(Size(size)));
        }
    }

    #[test]
    fn durations_need_a_unit_and_a_length() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        // What is shown has no more than milliseconds.
        assert_eq!(duration("1.5006ms"), Ok(Duration::from_millis(2)));
        for text in ["30", "", "s", "0s", "0.4ms", "-1s", "1e9h", "1d", "10001h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_capacity_may_leave_one_half_out() {
        let parse = |text: &str| text.parse::<Capacity>();
        assert_eq!(parse("100000"), Ok(Capacity { nodes: Some(100_000), bytes: None }));
        let both = Capacity { nodes: Some(1000), bytes: Some(Size(64 << 20)) };
        assert_eq!(parse("1000,64MiB"), Ok(both));
        assert_eq!(parse(",64MiB").unwrap().nodes, None);
        for text in ["", ",", "x", "10", "1000,", "1000,1k", "-5", "99999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
