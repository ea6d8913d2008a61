//! The text of a change, as `git diff --full-index --no-renames` writes it: it says the same, line for line, but
//! where several shortest descriptions of a change exist git may have chosen another.

use imara_diff::sources::byte_lines;
use imara_diff::{Algorithm, Diff, Hunk, InternedInput};
use omnifs_gitpack::Oid;
use omnifs_gitpack::object::Mode;

/// One side of a file that has changed.
pub struct Side<'a> {
    pub mode: Mode,
    pub id: Oid,
    /// `None` for what is no text.
    pub text: Option<&'a [u8]>,
}

/// Lines of context around what has changed.
const CONTEXT: u32 = 3;

/// Bytes of the line that a hunk is headed with.
const HEADING: usize = 80;

/// Git's rule: a NUL in the first bytes.
pub fn is_text(content: &[u8]) -> bool {
    const LOOKED_AT: usize = 8000;
    !content[..content.len().min(LOOKED_AT)].contains(&0)
}

/// Appends what has changed of the file `path`, one side of which exists at least.
pub fn write(out: &mut Vec<u8>, path: &[u8], before: Option<&Side<'_>>, after: Option<&Side<'_>>) {
    match (before, after) {
        (Some(old), Some(new)) if kind(old.mode) != kind(new.mode) => {
            write(out, path, before, None);
            write(out, path, None, after);
        }
        _ => write_file(out, path, before, after),
    }
}

/// A file that becomes a link is deleted and made anew; one that becomes a program is not.
fn kind(mode: Mode) -> &'static str {
    &octal(mode)[..3]
}

fn octal(mode: Mode) -> &'static str {
    match mode {
        Mode::Tree => "040000",
        Mode::File => "100644",
        Mode::Executable => "100755",
        Mode::Symlink => "120000",
        Mode::Submodule => "160000",
    }
}

fn write_file(out: &mut Vec<u8>, path: &[u8], old: Option<&Side<'_>>, new: Option<&Side<'_>>) {
    let (a, b) = (quoted(b"a/", path), quoted(b"b/", path));
    out.extend([b"diff --git ", &a[..], b" ", &b[..], b"\n"].concat());
    let id = |side: Option<&Side<'_>>| side.map(|side| side.id.to_string());
    let (before, after) = (id(old), id(new));
    let nothing = "0".repeat(before.iter().chain(&after).map(String::len).max().unwrap_or(0));
    let index = format!(
        "index {}..{}",
        before.as_ref().unwrap_or(&nothing),
        after.as_ref().unwrap_or(&nothing)
    );
    let head = match (old, new) {
        (Some(old), Some(new)) if old.mode != new.mode => {
            let modes = format!("old mode {}\nnew mode {}\n", octal(old.mode), octal(new.mode));
            if old.id == new.id { modes } else { format!("{modes}{index}\n") }
        }
        (Some(old), Some(_)) => format!("{index} {}\n", octal(old.mode)),
        (Some(old), None) => format!("deleted file mode {}\n{index}\n", octal(old.mode)),
        (None, Some(new)) => format!("new file mode {}\n{index}\n", octal(new.mode)),
        (None, None) => String::new(),
    };
    out.extend(head.into_bytes());
    if before == after {
        return;
    }
    let label = |side: Option<&Side<'_>>, label: Vec<u8>| match side {
        Some(_) => label,
        None => b"/dev/null".to_vec(),
    };
    let (a, b) = (label(old, a), label(new, b));
    let text = |side: Option<&Side<'_>>| -> Option<Vec<u8>> {
        match side {
            Some(side) => side.text.map(<[u8]>::to_vec),
            None => Some(Vec::new()),
        }
    };
    let (Some(before), Some(after)) = (text(old), text(new)) else {
        out.extend([b"Binary files ", &a[..], b" and ", &b[..], b" differ\n"].concat());
        return;
    };
    let hunks = hunks(&before, &after);
    if !hunks.is_empty() {
        // Programs end a name at a tab.
        let end = |label: &[u8]| if label.contains(&b' ') { &b"\t\n"[..] } else { &b"\n"[..] };
        out.extend([b"--- ", &a[..], end(&a), b"+++ ", &b[..], end(&b)].concat());
        out.extend(hunks);
    }
}

/// As git quotes names: like a string of C, where a byte needs that.
fn quoted(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| (b' '..0x7f).contains(byte) && !b"\"\\".contains(byte);
    if path.iter().all(plain) {
        return [prefix, path].concat();
    }
    let mut out = [b"\"", prefix].concat();
    for byte in path {
        match byte {
            byte if plain(byte) => out.push(*byte),
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            7..=13 => out.extend([b'\\', b"abtnvfr"[usize::from(byte - 7)]]),
            byte => out.extend(format!("\\{byte:03o}").into_bytes()),
        }
    }
    out.push(b'"');
    out
}

fn hunks(before: &[u8], after: &[u8]) -> Vec<u8> {
    let input = InternedInput::new(byte_lines(before), byte_lines(after));
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_lines(&input);
    let (old, new) = (Lines::of(before), Lines::of(after));
    let (mut out, mut changes) = (Vec::new(), diff.hunks().peekable());
    let (mut heading, mut looked): (&[u8], usize) = (b"", 0);
    while let Some(first) = changes.next() {
        let mut group = vec![first];
        let near = |group: &[Hunk], next: &Hunk| {
            group.last().is_some_and(|last| next.before.start - last.before.end <= 2 * CONTEXT)
        };
        while let Some(next) = changes.next_if(|next| near(&group, next)) {
            group.push(next);
        }
        // INVARIANT: a group begins with its first change.
        let (first, last) = (group[0].clone(), group[group.len() - 1].clone());
        let lead = first.before.start.min(first.after.start).min(CONTEXT);
        let left = (old.count() - last.before.end).min(new.count() - last.after.end);
        let trail = left.min(CONTEXT);
        let begins = (first.before.start - lead, first.after.start - lead);
        let ends = (last.before.end + trail, last.after.end + trail);
        let above = (looked..begins.0 as usize).rev().map(|at| old.line(at));
        if let Some(line) = above.into_iter().find(|line| is_heading(line)) {
            heading = line[..line.len().min(HEADING)].trim_ascii_end();
        }
        looked = begins.0 as usize;
        let range = |begin: u32, end: u32| match end - begin {
            0 => format!("{begin},0"),
            1 => format!("{}", begin + 1),
            count => format!("{},{count}", begin + 1),
        };
        let (minus, plus) = (range(begins.0, ends.0), range(begins.1, ends.1));
        out.extend(format!("@@ -{minus} +{plus} @@").into_bytes());
        if !heading.is_empty() {
            out.push(b' ');
            out.extend_from_slice(heading);
        }
        out.push(b'\n');
        let mut at = begins.0;
        for change in group {
            old.write(&mut out, b' ', at..change.before.start);
            old.write(&mut out, b'-', change.before.clone());
            new.write(&mut out, b'+', change.after.clone());
            at = change.before.end;
        }
        old.write(&mut out, b' ', at..ends.0);
    }
    out
}

/// Git's rule where a path has no other.
fn is_heading(line: &[u8]) -> bool {
    line.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"_$".contains(byte))
}

struct Lines<'a>(Vec<&'a [u8]>);

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Lines(text.split_inclusive(|byte| *byte == b'\n').collect())
    }

    fn count(&self) -> u32 {
        // A text is far below 4 GiB.
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn line(&self, at: usize) -> &'a [u8] {
        self.0[at]
    }

    fn write(&self, out: &mut Vec<u8>, sign: u8, lines: std::ops::Range<u32>) {
        for line in &self.0[lines.start as usize..lines.end as usize] {
            out.push(sign);
            out.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                out.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
}
