//! A table for each interval, for pipes and logs.

use super::sample::Sample;
use super::table::{Table, summary};
use std::fmt::Write;

pub fn text(sample: &Sample) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", time(sample.at));
    for mount in &sample.mounts {
        let _ = writeln!(text, "{}", summary(mount));
    }
    for line in Table::of(sample, |_| true).lines() {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    text
}

/// Of a moment in milliseconds since the Unix epoch.
pub fn time(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_table_that_ends_with_an_empty_line() {
        let text = text(&Sample { at: 1_700_000_000_000, mounts: Vec::new() });
        assert!(text.starts_with("2023-11-14T22:13:20Z\nINSTANCE"), "{text}");
        assert!(text.ends_with("BUDGET\n\n"), "{text}");
    }
}
