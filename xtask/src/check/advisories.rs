//! Floors: the oldest version of a crate that has no advisory known to this list. It stands in for
//! the RustSec database where that cannot be reached, and is no replacement for it.

use serde_json::Value;

/// Crate, first version that is mended, advisory. A crate with mended older lines is held to the
/// newest.
const FLOORS: &[(&str, &str, &str)] = &[
    ("bytes", "1.11.1", "RUSTSEC-2026-0007"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024"),
    ("h2", "0.4.4", "RUSTSEC-2024-0332"),
    ("idna", "1.0.0", "RUSTSEC-2024-0421"),
    ("lru", "0.16.3", "RUSTSEC-2026-0002"),
    ("mio", "0.8.11", "RUSTSEC-2024-0019"),
    ("ring", "0.17.12", "RUSTSEC-2025-0009"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0104"),
    ("slab", "0.4.11", "RUSTSEC-2025-0047"),
    ("time", "0.3.47", "RUSTSEC-2026-0009"),
    ("tokio", "1.44.2", "RUSTSEC-2025-0023"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055"),
    ("wasmtime", "48.0.8", "the advisories of the 48 line before 48.0.8"),
    ("wasmtime-wasi", "48.0.8", "the advisories of the 48 line before 48.0.8"),
];

/// One line for each package below its floor.
pub fn check(packages: &[Value]) -> Vec<String> {
    let problem = |package: &Value| {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let (name, version) = (text("name")?, text("version")?);
        let (_, floor, advisory) = FLOORS.iter().find(|(floored, ..)| *floored == name)?;
        let below = parts(version) < parts(floor);
        below.then(|| format!("{name} {version} is older than {floor} ({advisory})"))
    };
    packages.iter().filter_map(problem).collect()
}

/// Major, minor, patch; what cannot be read counts as 0.
fn parts(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = plain.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_version_below_its_floor_is_named_with_its_advisory() {
        let package = |version: &str| json!({ "name": "wasmtime", "version": version });
        assert_eq!(check(&[package("48.0.7")]).len(), 1);
        assert!(check(&[package("48.0.8"), package("48.0.10"), package("49.0.0")]).is_empty());
        assert!(check(&[json!({ "name": "other", "version": "0.0.1" })]).is_empty());
    }
}
