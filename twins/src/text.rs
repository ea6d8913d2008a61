//! Believable titles and bodies, and the titles that break careless programs.

use std::borrow::Cow;

use crate::rng::Rng;

const VERBS: [&str; 12] = [
    "Retry", "Reject", "Cache", "Log", "Validate", "Paginate", "Drop", "Document", "Rename",
    "Throttle", "Encrypt", "Split",
];
const THINGS: [&str; 16] = [
    "webhook deliveries",
    "session cookies",
    "auth tokens",
    "the invoice export",
    "search results",
    "upload chunks",
    "stale locks",
    "the health check",
    "user invitations",
    "audit entries",
    "the rate limiter",
    "database migrations",
    "feature flags",
    "the CSV importer",
    "background jobs",
    "error reports",
];
const WHEN: [&str; 12] = [
    "when the primary is down",
    "after a deploy",
    "on slow networks",
    "for archived projects",
    "before the token expires",
    "in the EU region",
    "with more than 100 items",
    "while a migration runs",
    "for single sign-on users",
    "on the first of the month",
    "when the queue is full",
    "behind a proxy",
];
const SENTENCES: [&str; 14] = [
    "Seen twice this week, both times shortly after a deploy.",
    "The log shows a timeout of 30 s and then nothing.",
    "Steps to reproduce are below; it takes about ten tries.",
    "A customer with 4,000 projects hits this every day.",
    "The old behaviour was to return an empty list.",
    "We should not retry a request that was already accepted.",
    "`curl -i` shows the header twice.",
    "It works with the previous client.",
    "Restarting the worker helps for an hour or so.",
    "The fix is probably one line, the test is not.",
    "See the dashboard for the auth service.",
    "Nobody depends on the old field any more.",
    "This blocks the release.",
    "Low priority, but it confuses everyone who sees it.",
];

/// Text that is either given or derived from a seed on each use, so that 50,000 bodies take the
/// room of 50,000 numbers.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Given(String),
    Title(u64),
    Body(u64),
}

impl Text {
    pub fn get(&self) -> Cow<'_, str> {
        match self {
            Self::Given(text) => Cow::Borrowed(text),
            Self::Title(seed) => Cow::Owned(title(&mut Rng::new(*seed))),
            Self::Body(seed) => Cow::Owned(body(&mut Rng::new(*seed))),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Given(text.to_owned())
    }
}

pub(crate) fn title(rng: &mut Rng) -> String {
    format!("{} {} {}", rng.pick(&VERBS), rng.pick(&THINGS), rng.pick(&WHEN))
}

pub(crate) fn body(rng: &mut Rng) -> String {
    let mut text = String::new();
    for paragraph in 0..1 + rng.below(3) {
        if paragraph > 0 {
            text.push_str("\n\n");
        }
        for sentence in 0..1 + rng.below(4) {
            if sentence > 0 {
                text.push(' ');
            }
            text.push_str(rng.pick(&SENTENCES));
        }
    }
    if rng.one_in(4) {
        text.push_str("\n\n```\nGET /v1/");
        text.push_str(&rng.hex(12));
        text.push_str(" 504\n```\n");
    }
    text
}

/// Titles with a slash, control characters, terminal escapes, 4 KiB of text, emoji, right-to-left
/// marks, and others that file names, terminals and line-based tools stumble over.
pub fn awkward_titles() -> Vec<String> {
    let mut titles: Vec<String> = [
        "GET /v1/users/../admin answers 200",
        "/etc/passwd",
        "Bell \u{7} and backspace \u{8}\u{8} in a title",
        "Terminal escape \u{1b}[31mred\u{1b}[0m \u{1b}]0;owned\u{7} title",
        "C1 control \u{9b}31m and \u{85} next line",
        "Two lines\nin one title",
        "Carriage return\rhides the start",
        "Tab\tseparated\ttitle",
        "Emoji \u{1f680}\u{1f469}\u{200d}\u{1f4bb} and combining e\u{301}",
        "Right-to-left \u{202e}gpj.exe\u{202c} and \u{200f}mark",
        "\u{feff}Byte order mark first",
        "--help",
        ".",
        "..",
        "CON",
        "trailing dot and space. ",
        "back\\slash, colon:, star*, question?, \"quotes\", <angles>, |pipe|",
        "percent %2F %00 and $(command) `substitution`",
        "\u{4e2d}\u{6587}\u{6807}\u{9898}",
        "zero width \u{200b}\u{2060} and line separator \u{2028}",
    ]
    .map(str::to_owned)
    .into();
    titles.push("long ".repeat(820)[..4096].to_owned());
    titles.push("\u{1f600}".repeat(1024));
    titles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text() {
        assert_eq!(Text::Title(7).get(), Text::Title(7).get());
        assert_eq!(Text::Body(7).get(), Text::Body(7).get());
        assert_ne!(Text::Body(7).get(), Text::Body(8).get());
    }

    #[test]
    fn awkward_titles_hold_every_kind_that_is_asked_for() {
        let all = awkward_titles();
        assert!(all.iter().any(|t| t.len() == 4096));
        for needle in ["/", "\u{1b}", "\u{7}", "\u{202e}", "\u{1f680}"] {
            assert!(all.iter().any(|t| t.contains(needle)), "{needle:?}");
        }
    }
}
