//! Faults on demand: which request suffers what, and how often.

use std::time::Duration;

/// What goes wrong. Each is one thing that a client must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status with the service's own error document: 401, 403, 404, 410, 429, 500, 502, 503.
    Status(u16),
    /// The primary rate limit is used up for this many seconds: GitHub 403 with
    /// `x-ratelimit-remaining: 0`, Linear 400 with `RATELIMITED`.
    PrimaryLimit { reset_in: u32 },
    /// GitHub's secondary limit: 403 with `retry-after` in seconds.
    SecondaryLimit { retry_after: u32 },
    /// 429 with `retry-after` in seconds.
    TooMany { retry_after: u32 },
    /// The answer comes after this long, and is right.
    Slow(Duration),
    /// The head and half of the body are sent on time, the rest after this long.
    SlowBody(Duration),
    /// `Content-Length` promises the whole body, half of it comes, and the connection closes.
    Truncated,
    /// 200 with an HTML page, as a captive portal gives.
    WrongContentType,
    /// 200 with the right type and length, and JSON that breaks off in the middle.
    MalformedJson,
    /// The connection is reset (TCP RST) without an answer.
    Reset,
}

/// How many matching requests a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Next(u32),
    UntilCleared,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    pattern: String,
    left: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    pub fn add(&mut self, fault: Fault, pattern: &str, times: Times) {
        let left = match times {
            Times::Next(n) => Some(n),
            Times::UntilCleared => None,
        };
        self.rules.push(Rule { fault, pattern: pattern.to_owned(), left });
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault for this request, counted. The oldest matching rule wins.
    pub fn take(&mut self, path: &str) -> Option<Fault> {
        let index = self
            .rules
            .iter()
            .position(|rule| rule.left != Some(0) && matches(&rule.pattern, path))?;
        let rule = &mut self.rules[index];
        let fault = rule.fault;
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                self.rules.remove(index);
            }
        }
        Some(fault)
    }
}

/// `*` stands for any run of characters, `/` included.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else { return false };
    let tail: Vec<&str> = parts.collect();
    let Some((last, middle)) = tail.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_paths_with_stars_for_any_run() {
        assert!(matches("*", "/anything/at/all"));
        assert!(matches("/repos/*/issues*", "/repos/acme/api/issues/7"));
        assert!(matches("/user", "/user"));
        assert!(!matches("/user", "/user/orgs"));
        assert!(!matches("/repos/*/pulls", "/repos/acme/api/issues"));
        assert!(matches("*/issues", "/repos/acme/api/issues"));
        assert!(!matches("*/issues", "/repos/acme/api/issues/1"));
    }

    #[test]
    fn a_fault_for_the_next_two_requests_hits_two() {
        let mut faults = Faults::default();
        faults.add(Fault::Reset, "/a*", Times::Next(2));
        assert_eq!(faults.take("/b"), None);
        assert_eq!(faults.take("/a1"), Some(Fault::Reset));
        assert_eq!(faults.take("/a2"), Some(Fault::Reset));
        assert_eq!(faults.take("/a3"), None);
    }

    #[test]
    fn a_fault_for_no_request_hits_none() {
        let mut faults = Faults::default();
        faults.add(Fault::Reset, "*", Times::Next(0));
        assert_eq!(faults.take("/a"), None);
    }
}
