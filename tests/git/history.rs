//! Histories to show.

use crate::server::git;
use std::fmt::Write;
use std::path::Path;

/// `commits` commits of five files each: plain ones, executable ones, links, empty ones, bytes that are no text.
/// Every fiftieth is a merge.
pub fn generate(repository: &Path, commits: usize) {
    let mut input = Vec::new();
    for commit in 1..=commits {
        let when = 1_700_000_000 + 60 * commit;
        let mut head = String::from("commit refs/heads/main\n");
        let merged = commit % 50 == 0;
        if merged {
            let _ = write!(
                head,
                "mark :{}\ncommitter Side <side@example.org> {} -0330\ndata 5\nside\n\nfrom :{}\nM 100644 inline side\n\
                 data {}\n{commit}\n",
                commits + commit,
                when - 90,
                commit - 7,
                commit.to_string().len()
            );
            head = head.replacen("refs/heads/main", "refs/heads/feature/side", 1);
            head += "commit refs/heads/main\n";
        }
        let message = format!("\nChange {commit}: caf\u{e9}\n\n  body, indented \n\n\nlast\n\n");
        let _ = write!(
            head,
            "mark :{commit}\nauthor A U Thor <author@example.org> {} +0200\ncommitter C <c@example.org> {when} +0000\n\
             data {}\n{message}\n",
            when - 5,
            message.len()
        );
        if commit > 1 {
            let _ = writeln!(head, "from :{}", commit - 1);
        }
        if merged {
            let _ = writeln!(head, "merge :{}", commits + commit);
        }
        input.extend(head.into_bytes());
        for file in commit * 5..commit * 5 + 5 {
            let (mode, content) = match file % 10 {
                0 => (100_755, b"#!/bin/sh\n".to_vec()),
                1 => (120_000, format!("../s{}/f{}", file % 7, file - 1).into_bytes()),
                2 => (100_644, Vec::new()),
                3 => (100_644, (0..file % 3000).map(|byte| (byte * file) as u8).collect()),
                _ => (100_644, format!("line of {file}\n").repeat(file % 50 + 1).into_bytes()),
            };
            let path = format!("d{}/s{}/f{file}", file % 40, file % 7);
            input.extend(format!("M {mode} inline {path}\ndata {}\n", content.len()).into_bytes());
            input.extend(content);
            input.push(b'\n');
        }
    }
    input.extend(b"tag v1\nfrom refs/heads/main\ntagger T <t@example.org> 1700000000 +0000\ndata 6\nfirst\n\n");
    git(repository, &["fast-import", "--quiet"], &input);
}
