//! What a tree says of itself: the host's own files in it.
//!
//! `README.md`, `AGENTS.md` and the lists for searches are made of a provider's manifest, once for each start
//! (`text`); `.omnifs/` holds what is so at the moment (`report`, written by `host`). They belong to one instance each and are answered
//! in front of its provider (`files`); at the mount's root a listing of the instances is all there is (`root`).
//!
//! Invariant: what a component says of its paths is foreign text. It is bounded, and none of it ends a line or the
//! quotes around it: `globs` and [`is_quotable`] are what a manifest is held to.

mod files;
mod report;
mod root;
mod text;

pub use files::Files;
pub use report::{Report, Reports};
pub use root::RootFiles;
pub use text::{About, agents, ignored, readme};

/// With what an id of the host's own begins. No provider's does.
pub const OWN: &str = "omnifs:";

/// With what a name of the host's own begins, in the directory of an instance.
pub const OWN_NAME: &str = ".omnifs";

/// Forms that one pattern stands for.
const FORMS_MAX: usize = 32;

/// The forms that a pattern stands for, with `*` in the place of a name of the service's own and `**` of any
/// segments. `None`: it is no pattern.
pub fn globs(pattern: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@+~%,{}*".contains(c);
    let trimmed = pattern.strip_suffix('/').unwrap_or(pattern);
    if !pattern.chars().all(plain) || trimmed.split('/').any(str::is_empty) {
        return None;
    }
    let (fixed, any) = match trimmed.strip_suffix("**") {
        Some("") => return None,
        Some(fixed) => (fixed.strip_suffix('/').map(|_| fixed)?, "**"),
        None => (trimmed, ""),
    };
    if fixed.contains('*') {
        return None;
    }
    let mut forms = vec![String::new()];
    let mut rest = fixed;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        let choices: Vec<&str> = match inside.contains(',') {
            true => inside.split(',').collect(),
            false => vec!["*"],
        };
        let odd = |text: &str| text.is_empty() || text.contains(['{', '/']);
        if odd(inside) || choices.iter().any(|choice| odd(choice)) || before.contains('}') {
            return None;
        }
        let each = |form: &String| {
            choices.iter().map(|choice| format!("{form}{before}{choice}")).collect::<Vec<_>>()
        };
        forms = forms.iter().flat_map(each).collect();
        if forms.len() > FORMS_MAX {
            return None;
        }
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    let directory = if pattern.ends_with('/') { "/" } else { "" };
    Some(forms.into_iter().map(|form| format!("{form}{rest}{any}{directory}")).collect())
}

/// Whether a text can stand between backticks, on one line, and is what it seems.
pub fn is_quotable(text: &str) -> bool {
    !text.is_empty() && !text.contains('`') && omnifs_text::hidden(text).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_forms_that_it_stands_for() {
        let forms = |pattern| globs(pattern).unwrap();
        assert_eq!(forms("{owner}/{repo}/_issues/"), ["*/*/_issues/"]);
        assert_eq!(forms("{a}/{b,c}/{d,e}"), ["*/b/d", "*/b/e", "*/c/d", "*/c/e"]);
        assert_eq!(forms("{owner}/_repo/**"), ["*/_repo/**"]);
        assert_eq!(forms("x-{n}.json"), ["x-*.json"]);
        for odd in [
            "",
            "/",
            "a//b",
            "/a",
            "**",
            "a**",
            "*",
            "a/*/b",
            "**/a",
            "{",
            "}",
            "a}b",
            "{}",
            "{a",
            "{a,}",
            "{a/b}",
            "{{a}}",
            "a b",
            "a`b",
            "a\nb",
            "a\u{200b}",
            "!a#",
            "\u{e4}",
        ] {
            assert_eq!(globs(odd), None, "{odd:?}");
        }
        assert_eq!(globs(&"{a,b}".repeat(6)), None);
    }
}
