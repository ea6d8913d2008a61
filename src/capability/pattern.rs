//! The paths that a manifest's rules stand for.

use super::request::holds_slash;

/// What one segment of a rule stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment<'a> {
    Literal(&'a str),
    /// `*`: one segment that is not empty and that no server takes for several.
    One,
    /// `*%2F*`: one that is not empty and may hold escaped slashes.
    Escaped,
    /// `**`, the last: any number of segments.
    Rest,
}

/// The segments of a rule, each with what is wrong with it.
fn segments(rule: &str) -> impl Iterator<Item = Result<Segment<'_>, &'static str>> {
    let mut parts = rule.split('/').peekable();
    std::iter::from_fn(move || {
        let segment = parts.next()?;
        Some(match segment {
            "**" if parts.peek().is_some() => Err("`**` stands only at the end"),
            "**" => Ok(Segment::Rest),
            "*" => Ok(Segment::One),
            "*%2F*" => Ok(Segment::Escaped),
            "." | ".." => Err("`.` and `..` match nothing"),
            _ if segment.contains('*') => Err("`*` stands for a whole segment"),
            _ => Ok(Segment::Literal(segment)),
        })
    })
}

/// Whether this can be a rule: a percent-encoded path, in which `*` and `*%2F*` stand for any segment and a
/// last `**` for any number of them.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(rule: &str) -> Result<(), &'static str> {
    let Some(rest) = rule.strip_prefix('/') else {
        return Err("it does not begin with `/`");
    };
    if !rule.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#' && b != b'\\') {
        return Err("it is not a percent-encoded path without a query");
    }
    segments(rest).try_for_each(|segment| segment.map(drop))
}

/// Whether a rule that was checked stands for this path, which a request has as it is sent.
pub(super) fn matches(rule: &str, path: &str) -> bool {
    let mut path = path.split('/');
    for expected in segments(rule) {
        let fits = match (expected, path.next()) {
            (Ok(Segment::Rest), _) => return true,
            (Ok(Segment::Literal(literal)), Some(segment)) => segment == literal,
            (Ok(Segment::One), Some(segment)) => !segment.is_empty() && !holds_slash(segment),
            (Ok(Segment::Escaped), Some(segment)) => !segment.is_empty(),
            (Err(_), _) | (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_compared_segment_by_segment() {
        assert!(matches("/repos/*/*/issues", "/repos/acme/api/issues"));
        assert!(!matches("/repos/*/*/issues", "/repos/acme/api/issues/1"));
        assert!(!matches("/repos/*/*/issues", "/repos/acme/issues"));
        assert!(!matches("/repos/*", "/repos/"));
        assert!(!matches("/repos/*", "/reposx/a"));
        assert!(matches("/repos/**", "/repos/a/b/c"));
        assert!(matches("/repos/**", "/repos"));
        assert!(!matches("/repos/**", "/repository/a"));
        assert!(matches("/**", "/anything/at/all"));
        assert!(matches("/", "/"));
        assert!(!matches("/", "/a"));
        assert!(!matches("/a", "/a/"));
        assert!(!matches("/containers/*/json", "/containers/a%2Fb/c/json"));
        // A literal star is no wildcard for the request's side.
        assert!(!matches("/a/b", "/a/*"));
        // What could not be a rule stands for nothing.
        assert!(check("/a/**/b").is_err() && !matches("/a/**/b", "/a/c/b"));
        assert!(check("/a*").is_err() && !matches("/a*", "/a*"));
    }

    #[test]
    fn only_a_rule_that_says_so_stands_for_a_segment_with_a_slash_however_it_is_escaped() {
        for slash in ["%2F", "%2f", "%5C", "%252F", "%25252f", "%255c", "%2F%25zz"] {
            let path = format!("/repos/a/b{slash}collaborators");
            assert!(!matches("/repos/*/*", &path), "{path}");
            assert!(matches("/repos/*/*%2F*", &path), "{path}");
            assert!(matches("/repos/**", &path), "{path}");
        }
        assert!(matches("/repos/*/*%2F*", "/repos/a/b"));
        assert!(!matches("/repos/*/*%2F*", "/repos/a/"));
        assert!(!matches("/repos/*/*%2F*", "/repos/a/b/c"));
        assert!(matches("/repos/*/*", "/repos/a/100%25"));
        assert!(matches("/repos/*/*", "/repos/a/%252G"));
        // Its own name is nothing but a name.
        assert!(!matches("/repos/*", "/repos/*%2F*"));
    }
}
