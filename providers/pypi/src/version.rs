//! Versions: which one an archive is of, and which is the newest (PEP 440, 427, 625).

use crate::api::normal;

/// What orders versions, the parts that count most first. A local part (`+abc`) does not count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    epoch: u64,
    /// Without zeros at its end.
    release: Vec<u64>,
    /// Development before any other, then `a`, `b`, `rc`, and what is none of them.
    before: (u8, u64),
    /// 0 where it is none.
    post: u64,
    dev: u64,
}

impl Order {
    pub fn of(version: &str) -> Option<Order> {
        let text = version.trim().to_ascii_lowercase();
        let text = text.split('+').next().unwrap_or_default();
        let text = text.strip_prefix('v').unwrap_or(text);
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let numbers = text[..end].trim_end_matches('.').split('.');
        let mut release = numbers.map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>()?;
        while release.last() == Some(&0) {
            release.pop();
        }
        let (mut before, mut post, mut dev) = (None, 0, None);
        let mut rest = &text[end..];
        while !rest.is_empty() {
            let (word, number, after) = part(rest)?;
            match word {
                "a" | "alpha" => before = Some((1, number)),
                "b" | "beta" => before = Some((2, number)),
                "c" | "rc" | "pre" | "preview" => before = Some((3, number)),
                "" | "post" | "rev" | "r" => post = number.saturating_add(1),
                "dev" => dev = Some(number),
                _ => return None,
            }
            rest = after;
        }
        let plain = if dev.is_some() && post == 0 { (0, 0) } else { (4, 0) };
        let (before, dev) = (before.unwrap_or(plain), dev.unwrap_or(u64::MAX));
        Some(Order { epoch, release, before, post, dev })
    }

    /// Whether this is one that is installed where nothing is said of others.
    pub fn is_final(&self) -> bool {
        self.before.0 == 4 && self.dev == u64::MAX
    }
}

/// A word, its number (0 where it has none), and what follows.
fn part(text: &str) -> Option<(&str, u64, &str)> {
    let separator = ['.', '-', '_'];
    let text = text.trim_start_matches(separator);
    let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let digits = rest.trim_start_matches(separator);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse() {
        Ok(number) => Some((word, number, &digits[end..])),
        Err(_) if !word.is_empty() => Some((word, 0, rest)),
        Err(_) => None,
    }
}

/// The version that an archive of this name is of, in the project `name`; nothing where its name says none.
pub fn of_file<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    let built = [".whl", ".egg"].iter().find_map(|ending| file.strip_suffix(ending));
    let source = [".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar"];
    let stem = built.or_else(|| source.iter().find_map(|ending| file.strip_suffix(ending)))?;
    let mut at = stem.match_indices('-').map(|(at, _)| at);
    let end = at.find(|end| normal(&stem[..*end]).as_deref() == Some(name))?;
    let version = &stem[end + 1..];
    let version = if built.is_some() { version.split('-').next()? } else { version };
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn versions_are_ordered_as_pip_orders_them() {
        let ascending = [
            "0.9",
            "1.0.dev1",
            "1.0a1.dev3",
            "1.0a1",
            "1.0-alpha.2",
            "1.0b1",
            "1.0rc1",
            "1.0",
            "1.0.post1.dev2",
            "1.0-1",
            "1.0.post2",
            "1.0.1",
            "1.9",
            "1.10",
            "2",
            "1!0.1",
        ];
        for pair in ascending.windows(2) {
            let [before, after] = [pair[0], pair[1]].map(|text| Order::of(text).unwrap());
            assert!(before < after, "{pair:?}");
        }
        for (one, other) in
            [("1.0", "1"), ("v1.0.0", "1.0"), ("1.0+local", "1.0"), ("1.0c1", "1.0RC1")]
        {
            assert_eq!(Order::of(one), Order::of(other), "{one} {other}");
        }
        for text in ["", "x", "1.0-what", "1..0", "1.0.", "99999999999999999999999", "1.0\u{e9}"] {
            let order = Order::of(text);
            assert!(order.is_none() || text == "1.0.", "{text}: {order:?}");
        }
        for (text, is) in
            [("1.0", true), ("1.0.post1", true), ("1.0rc1", false), ("1.0.dev1", false)]
        {
            assert_eq!(Order::of(text).unwrap().is_final(), is, "{text}");
        }
    }

    #[test]
    fn an_archive_is_of_the_version_that_its_name_says() {
        for (file, name, version) in [
            ("tool-1.0.tar.gz", "tool", Some("1.0")),
            ("my_tool-1.0-py3-none-any.whl", "my-tool", Some("1.0")),
            ("My.Tool-1.0-2-py3-none-any.whl", "my-tool", Some("1.0")),
            ("my-tool-1.0-1.zip", "my-tool", Some("1.0-1")),
            ("tool-extra-1.0.tar.gz", "tool", Some("extra-1.0")),
            ("other-1.0.tar.gz", "tool", None),
            ("tool.tar.gz", "tool", None),
            ("tool-.tar.gz", "tool", None),
            ("tool-1.0.exe", "tool", None),
        ] {
            assert_eq!(of_file(file, name), version, "{file}");
        }
    }
}
