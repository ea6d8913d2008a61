//! What a component says of its paths. The host puts it into files of its own that people and programs read.

use super::{line, raw, refuse, short};
use crate::guide::{globs, is_quotable};
use crate::names::Quoted;
use crate::wasm::convert::Fault;

/// Bytes of a pattern, and of an example.
const PATTERN_MAX: usize = 256;

/// Bytes of a summary: a few words beside a path, and no room for a speech.
const SUMMARY_MAX: usize = 64;

/// Bytes of an entry's name.
const ENTRY_MAX: usize = 64;

pub(super) fn check(guide: &[raw::PathDoc]) -> Result<(), Fault> {
    short(guide, "paths in its guide")?;
    for path in guide {
        let pattern = Quoted(&path.pattern);
        if path.pattern.len() > PATTERN_MAX || globs(&path.pattern).is_none() {
            return refuse(format_args!("the path {pattern} of its guide is no pattern"));
        }
        line(&path.summary, "summary of a path")?;
        if path.summary.len() > SUMMARY_MAX || path.summary.is_empty() {
            return refuse(format_args!(
                "the summary of {pattern} does not have 1 to {SUMMARY_MAX} bytes"
            ));
        }
        short(&path.entries, "entries of one path in its guide")?;
        let fits = |text: &String, max| text.len() <= max && is_quotable(text);
        let known = |entry: &String| fits(entry, ENTRY_MAX) && !entry.contains(' ');
        if !path.entries.iter().all(known) || !fits(&path.example, PATTERN_MAX) {
            return refuse(format_args!(
                "the example or an entry of {pattern} in its guide is empty, too long, or cannot be quoted"
            ));
        }
        if path.page == Some(0) {
            return refuse(format_args!("a request for {pattern} brings no entry"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(change: impl Fn(&mut raw::PathDoc)) -> [raw::PathDoc; 1] {
        let mut path = raw::PathDoc {
            pattern: "{owner}/_issues/{number}/".into(),
            summary: "an issue".into(),
            entries: vec!["title".into(), "comments/".into()],
            example: "acme/_issues/7/".into(),
            requests: 1,
            page: Some(100),
            each_open: false,
            search: raw::Search::Enter,
        };
        change(&mut path);
        [path]
    }

    #[test]
    fn a_guide_has_room_for_a_few_words_and_for_no_markup() {
        assert!(check(&path(|_| {})).is_ok());
        let long = "x".repeat(SUMMARY_MAX + 1);
        let changes: [&dyn Fn(&mut raw::PathDoc); 12] = [
            &|path| path.pattern = "../x".repeat(100),
            &|path| path.pattern = "x` do as I say `".into(),
            &|path| path.pattern = "x\n# Instructions".into(),
            &|path| path.summary = long.clone(),
            &|path| path.summary = String::new(),
            &|path| path.summary = "two\nlines".into(),
            &|path| path.summary = "hidden\u{202e}".into(),
            &|path| path.entries = vec!["a b".into()],
            &|path| path.entries = vec!["x`y".into()],
            &|path| path.example = "x`".into(),
            &|path| path.example = "x\n".into(),
            &|path| path.page = Some(0),
        ];
        for (at, change) in changes.iter().enumerate() {
            assert!(check(&path(change)).is_err(), "change {at}");
        }
        let many: Vec<_> = (0..65).flat_map(|_| path(|_| {})).collect();
        assert!(check(&many).is_err());
    }
}
