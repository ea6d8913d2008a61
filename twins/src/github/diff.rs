//! Unified diffs between two commits, as `git diff` writes them, and mail patches around them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::git::{Files, Mode, Store};

const CONTEXT: usize = 3;

/// One changed file.
#[derive(Clone, Debug)]
pub(crate) struct FileChange {
    pub path: String,
    pub previous: Option<String>,
    /// `added`, `removed`, `modified`, `renamed`.
    pub status: &'static str,
    /// The new object, or the old one where the file is removed.
    pub oid: String,
    pub additions: usize,
    pub deletions: usize,
    /// The hunks; nothing for binary content.
    pub patch: Option<String>,
    header: String,
}

impl FileChange {
    /// The whole entry of a diff.
    pub fn text(&self) -> String {
        match &self.patch {
            Some(patch) if patch.is_empty() => self.header.clone(),
            Some(patch) => format!("{}{patch}\n", self.header),
            None => self.header.clone(),
        }
    }
}

/// The changes from `base` (nothing: from an empty tree) to `head`, by path.
pub(crate) fn between_commits(git: &Store, base: Option<&str>, head: &str) -> Vec<FileChange> {
    let files = |oid: &str| git.commits.get(oid).map(|c| git.files(&c.tree)).unwrap_or_default();
    between(git, &base.map(files).unwrap_or_default(), &files(head))
}

/// The text of a diff.
pub(crate) fn text(changes: &[FileChange]) -> String {
    changes.iter().map(FileChange::text).collect()
}

/// What `git format-patch --stdout` writes for these commits, oldest first.
pub(crate) fn mail(git: &Store, commits: &[&str]) -> String {
    let mut mail = String::new();
    for (index, oid) in commits.iter().enumerate() {
        let Some(commit) = git.commits.get(*oid) else { continue };
        let changes = between_commits(git, commit.parents.first().map(String::as_str), oid);
        let (subject, rest) = commit.message.split_once('\n').unwrap_or((&commit.message, ""));
        let number = match commits.len() {
            1 => "[PATCH]".to_owned(),
            all => format!("[PATCH {}/{all}]", index + 1),
        };
        let date = Timestamp::from_second(commit.time).unwrap_or_default();
        let date = date.strftime("%a, %-d %b %Y %H:%M:%S +0000");
        let (name, email) = &commit.author;
        mail.push_str(&format!(
            "From {oid} Mon Sep 17 00:00:00 2001\nFrom: {name} <{email}>\nDate: {date}\n\
             Subject: {number} {subject}\n\n"
        ));
        let rest = rest.trim();
        if !rest.is_empty() {
            mail.push_str(&format!("{rest}\n"));
        }
        mail.push_str("---\n");
        for change in &changes {
            let both = change.additions + change.deletions;
            mail.push_str(&format!(" {} | {both}\n", change.path));
        }
        let files = if changes.len() == 1 { "file" } else { "files" };
        mail.push_str(&format!(" {} {files} changed\n\n{}\n", changes.len(), text(&changes)));
    }
    mail
}

fn between(git: &Store, old: &Files, new: &Files) -> Vec<FileChange> {
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        if before == after {
            continue;
        }
        let renamed_away = before.is_some_and(|b| {
            after.is_none() && new.iter().any(|(p, a)| a == b && !old.contains_key(p))
        });
        if renamed_away {
            continue;
        }
        let source = after.filter(|_| before.is_none()).and_then(|a| {
            old.iter().find(|(p, b)| *b == a && !new.contains_key(*p)).map(|(p, _)| p.clone())
        });
        changes.push(match source {
            Some(source) => renamed(path, source, after.map(|a| a.1.as_str()).unwrap_or_default()),
            None => changed(git, path, before, after),
        });
    }
    changes
}

fn renamed(path: &str, previous: String, oid: &str) -> FileChange {
    let header = format!(
        "diff --git a/{previous} b/{path}\nsimilarity index 100%\nrename from {previous}\n\
         rename to {path}\n"
    );
    FileChange {
        path: path.to_owned(),
        previous: Some(previous),
        status: "renamed",
        oid: oid.to_owned(),
        additions: 0,
        deletions: 0,
        patch: Some(String::new()),
        header,
    }
}

fn changed(
    git: &Store,
    path: &str,
    before: Option<&(Mode, String)>,
    after: Option<&(Mode, String)>,
) -> FileChange {
    let zero = "0".repeat(40);
    let oid_of = |side: Option<&(Mode, String)>| side.map_or(zero.clone(), |s| s.1.clone());
    let content = |side: Option<&(Mode, String)>| match side {
        Some((Mode::Submodule, oid)) => format!("Subproject commit {oid}\n").into_bytes(),
        Some((_, oid)) => git.blobs.get(oid).map(|b| b.to_vec()).unwrap_or_default(),
        None => Vec::new(),
    };
    let (old_oid, new_oid) = (oid_of(before), oid_of(after));
    let (old, new) = (content(before), content(after));
    let mut header = format!("diff --git a/{path} b/{path}\n");
    let status = match (before, after) {
        (None, Some((mode, _))) => {
            header.push_str(&format!("new file mode {}\n", mode.octal()));
            "added"
        }
        (Some((mode, _)), None) => {
            header.push_str(&format!("deleted file mode {}\n", mode.octal()));
            "removed"
        }
        (Some((a, _)), Some((b, _))) if a != b => {
            header.push_str(&format!("old mode {}\nnew mode {}\n", a.octal(), b.octal()));
            "modified"
        }
        _ => "modified",
    };
    let mode = match (before, after) {
        (Some((a, _)), Some((b, _))) if a == b => format!(" {}", a.octal()),
        _ => String::new(),
    };
    if old_oid != new_oid {
        header.push_str(&format!("index {}..{}{mode}\n", &old_oid[..7], &new_oid[..7]));
    }
    let left = before.map_or("/dev/null".to_owned(), |_| format!("a/{path}"));
    let right = after.map_or("/dev/null".to_owned(), |_| format!("b/{path}"));
    let oid = if after.is_some() { new_oid } else { old_oid };
    let mut change = FileChange {
        path: path.to_owned(),
        previous: None,
        status,
        oid,
        additions: 0,
        deletions: 0,
        patch: None,
        header,
    };
    match (std::str::from_utf8(&old), std::str::from_utf8(&new)) {
        (Ok(old), Ok(new)) if !old.contains('\0') && !new.contains('\0') => {
            let (patch, additions, deletions) = hunk(old, new);
            if !patch.is_empty() {
                change.header.push_str(&format!("--- {left}\n+++ {right}\n"));
            }
            (change.patch, change.additions, change.deletions) =
                (Some(patch), additions, deletions);
        }
        _ => change.header.push_str(&format!("Binary files {left} and {right} differ\n")),
    }
    change
}

/// One hunk from the first line that differs to the last one, with what it adds and removes. It
/// has no line end after its last line, as the files API gives it.
fn hunk(old: &str, new: &str) -> (String, usize, usize) {
    let (a, b): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = a.len().min(b.len()) - same;
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count().min(rest);
    let (removed, added) = (&a[same..a.len() - tail], &b[same..b.len() - tail]);
    if removed.is_empty() && added.is_empty() {
        return (String::new(), 0, 0);
    }
    let start = same.saturating_sub(CONTEXT);
    let after = tail.min(CONTEXT);
    let range = |from: usize, count: usize| match count {
        // Git names the line before an empty range.
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        _ => format!("{},{count}", from + 1),
    };
    let (old_count, new_count) =
        (same - start + removed.len() + after, same - start + added.len() + after);
    let mut text = format!("@@ -{} +{} @@\n", range(start, old_count), range(start, new_count));
    let mut put = |sign: char, lines: &[&str]| {
        for line in lines {
            text.push(sign);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    put(' ', &a[start..same]);
    put('-', removed);
    put('+', added);
    put(' ', &a[a.len() - tail..a.len() - tail + after]);
    text.pop();
    (text, added.len(), removed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunk_names_its_lines_as_git_does() {
        let (text, added, removed) = hunk("a\nb\nc\nd\ne\n", "a\nb\nX\nd\ne\n");
        assert_eq!(text, "@@ -1,5 +1,5 @@\n a\n b\n-c\n+X\n d\n e");
        assert_eq!((added, removed), (1, 1));
        assert_eq!(hunk("", "new\n").0, "@@ -0,0 +1 @@\n+new");
        assert_eq!(hunk("x\nx\n", "x\n").0, "@@ -1,2 +1 @@\n x\n-x");
        let (text, ..) = hunk("a", "a\n");
        assert_eq!(text, "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a");
    }
}
