//! What programs run by themselves when somebody merely works in a directory of a mount. Each row plants
//! what a hostile service could show, runs a tool there, and sees whether its command ran: with files that
//! are the user's own and may be executed, and as omnifs mounts. docs/security.md shows the same table.

use crate::fixture::{Fixture, fuse_works, possible};
use omnifs_platform::fuse::MountOptions;
use omnifs_platform::memory::{Memory, New, ROOT};
use omnifs_platform::owner::Owner;
use std::process::{Command, Stdio};

struct Row {
    tool: &'static str,
    /// A line for the shell, run in the directory `w`.
    line: &'static str,
    /// Paths and contents below the mount. `@RUN@` is the command that must not run, `@HERE@` the
    /// mount. A path that ends in `/` is a directory, one in `*` may be executed, one in `@` is a link.
    files: &'static [(&'static str, &'static str)],
    /// Whether the command runs where the files are the user's own.
    own: bool,
    /// Whether it runs in a mount.
    mounted: bool,
}

const REPOSITORY: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = @HERE@/w\n\
    \tfsmonitor = \"@RUN@; false\"\n\tsshCommand = \"@RUN@; false\"\n[remote \"origin\"]\n\turl = ssh://x/y\n";
const HEAD: &str = "ref: refs/heads/main\n";

const BARE: &[(&str, &str)] = &[
    ("w/HEAD", HEAD),
    ("w/config", REPOSITORY),
    ("w/objects/", ""),
    ("w/refs/", ""),
    ("w/sub/", ""),
];

const ROWS: &[Row] = &[
    Row { tool: "git", line: "git status", files: BARE, own: true, mounted: false },
    Row { tool: "git", line: "cd sub && git status", files: BARE, own: true, mounted: false },
    Row { tool: "git", line: "git fetch", files: BARE, own: true, mounted: false },
    Row {
        tool: "git",
        line: "git -c safe.bareRepository=explicit status",
        files: BARE,
        own: false,
        mounted: false,
    },
    Row {
        tool: "git",
        line: "git status # a directory .git",
        files: &[
            ("w/.git/HEAD", HEAD),
            ("w/.git/config", REPOSITORY),
            ("w/.git/objects/", ""),
            ("w/.git/refs/", ""),
        ],
        own: true,
        mounted: false,
    },
    Row {
        tool: "git",
        line: "git status # a file .git",
        files: &[
            ("w/.git", "gitdir: ../g\n"),
            ("g/HEAD", HEAD),
            ("g/config", REPOSITORY),
            ("g/objects/", ""),
            ("g/refs/", ""),
        ],
        own: true,
        mounted: false,
    },
    Row {
        tool: "hg",
        line: "hg status",
        files: &[
            ("w/.hg/requires", "store\n"),
            ("w/.hg/store/", ""),
            ("w/.hg/hgrc", "[hooks]\npre-status = @RUN@\n"),
        ],
        own: true,
        mounted: false,
    },
    Row {
        tool: "vim",
        line: "vim -N --not-a-term --cmd 'set exrc secure' -c 'qa!'",
        files: &[("w/.exrc", "silent !@RUN@\n")],
        own: true,
        mounted: false,
    },
    Row {
        tool: "vim",
        line: "vim -N --not-a-term -c 'set modeline' -c 'e f.txt' -c 'qa!'",
        files: &[("w/f.txt", "vim: set fdm=expr fde=system('@RUN@') :\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "sh",
        line: "PATH=.:$PATH; ls",
        files: &[("w/ls*", "#!/bin/sh\n@RUN@\n")],
        own: true,
        mounted: false,
    },
    Row {
        tool: "rustup",
        line: "rustc --version",
        files: &[
            ("w/rust-toolchain.toml", "[toolchain]\npath = \"@HERE@/w/chain\"\n"),
            ("w/chain/bin/rustc*", "#!/bin/sh\n@RUN@\n"),
            ("w/chain/bin/cargo*", "#!/bin/sh\n@RUN@\n"),
        ],
        own: true,
        mounted: false,
    },
    Row {
        tool: "cargo",
        line: "cargo check --offline",
        files: &[
            ("w/.cargo/config.toml", "[build]\nrustc = \"@HERE@/w/compiler\"\n"),
            ("w/compiler*", "#!/bin/sh\n@RUN@\n"),
            ("w/Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            ("w/Cargo.lock", "version = 3\n\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n"),
            ("w/src/lib.rs", ""),
        ],
        own: true,
        mounted: false,
    },
    Row {
        tool: "direnv",
        line: "direnv export bash",
        files: &[("w/.envrc", "@RUN@\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "gdb",
        line: "gdb -batch -ex quit",
        files: &[("w/.gdbinit", "shell @RUN@\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "bash",
        line: "bash -ic true",
        files: &[("w/.bashrc", "@RUN@\n"), ("w/.profile", "@RUN@\n"), ("w/.inputrc", "@RUN@\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "tmux",
        line: "tmux -S \"$HOME/s\" start-server \\; kill-server",
        files: &[("w/.tmux.conf", "run-shell '@RUN@'\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "perl",
        line: "perl -MPOSIX -e 1",
        files: &[("w/POSIX.pm", "system('@RUN@'); 1;\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "less",
        line: "less f.txt",
        files: &[("w/f.txt", "x\n"), ("w/.lessfilter*", "#!/bin/sh\n@RUN@\n"), ("w/.less", "x\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "curl",
        line: "curl --version",
        files: &[("w/.curlrc", "output = @HERE@/x\n"), ("w/_curlrc", "x\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "jq",
        line: "jq -n 1",
        files: &[("w/.jq", "def x: 1;\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "gcc",
        line: "gcc -x c -E /dev/null",
        files: &[("w/specs", "*cpp:\n@RUN@\n"), ("w/cc1*", "#!/bin/sh\n@RUN@\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "node",
        line: "node -e 1",
        files: &[
            ("w/package.json", "{\"main\": \"x.js\", \"type\": \"module\"}\n"),
            ("w/node_modules/fs/index.js", "require('child_process').execSync('@RUN@')\n"),
        ],
        own: false,
        mounted: false,
    },
    Row {
        tool: "rg",
        line: "rg --pre-glob '*' x",
        files: &[("w/.ripgreprc", "--pre=./f.sh\n"), ("w/f.sh*", "#!/bin/sh\n@RUN@\n")],
        own: false,
        mounted: false,
    },
    Row {
        tool: "ssh",
        line: "ssh -o BatchMode=yes -G x",
        files: &[("w/.ssh/config", "Match exec \"@RUN@\"\n"), ("w/config", "x\n")],
        own: false,
        mounted: false,
    },
    // What is asked to run what a directory says does so, in a mount too.
    Row {
        tool: "make",
        line: "make -n",
        files: &[("w/Makefile", "X := $(shell @RUN@)\nall:\n")],
        own: true,
        mounted: true,
    },
    Row {
        tool: "vim",
        line: "vim -N --not-a-term --cmd 'set exrc' -c 'qa!'",
        files: &[("w/.exrc", "silent !@RUN@\n")],
        own: true,
        mounted: true,
    },
    Row {
        tool: "npm",
        line: "npm test",
        files: &[("w/package.json", "{\"name\": \"x\", \"scripts\": {\"test\": \"@RUN@\"}}\n")],
        own: true,
        mounted: true,
    },
    Row {
        tool: "python3",
        line: "python3 -c 'import json'",
        files: &[("w/json.py", "import os\nos.system('@RUN@')\n")],
        own: true,
        mounted: true,
    },
    Row {
        tool: "python3",
        line: "python3 -I -c 'import json'",
        files: &[("w/json.py", "import os\nos.system('@RUN@')\n")],
        own: false,
        mounted: false,
    },
];

/// Plants a file with the directories above it.
fn plant(memory: &Memory, path: &str, content: &str) {
    let (mut at, mut parts) = (ROOT, path.trim_end_matches('/').split('/').peekable());
    let mut way = String::new();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let (name, new) = match part {
            _ if !last || path.ends_with('/') => (part, New::Directory),
            part if part.ends_with('*') => {
                (part.trim_end_matches('*'), New::Executable(content.to_owned().into()))
            }
            part => (part, New::file(content.to_owned())),
        };
        way.push_str(name);
        at = match memory.find(&way) {
            Ok(there) => there,
            Err(_) => memory.add(at, name, new).unwrap(),
        };
        way.push('/');
    }
}

/// Whether the row's command runs in a mount that is made so.
fn runs(row: &Row, options: &MountOptions) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let mark = scratch.path().join("mark");
    let home = scratch.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let fixture = Fixture::with(Memory::new(), options).unwrap();
    let here = fixture.path("");
    let (here, run) = (here.display().to_string(), format!("touch {}", mark.display()));
    for (path, content) in row.files {
        let content = content.replace("@RUN@", &run).replace("@HERE@", here.trim_end_matches('/'));
        plant(&fixture.memory, path, &content);
    }
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "30", "sh", "-c", row.line]).current_dir(fixture.path("w"));
    command.env_clear().env("HOME", &home).env("PATH", std::env::var_os("PATH").unwrap());
    // Where the compiler is; nothing of it lies in the mount.
    let real = std::env::home_dir().unwrap_or_default();
    for (name, below) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        command.env(name, std::env::var_os(name).unwrap_or_else(|| real.join(below).into()));
    }
    if row.tool == "cargo" {
        command.env("RUSTUP_TOOLCHAIN", std::env::var_os("RUSTUP_TOOLCHAIN").unwrap_or_default());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.status().unwrap();
    mark.exists()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[test]
fn a_tool_that_is_used_in_a_mount_runs_nothing_that_it_was_not_asked_to_run() {
    if !fuse_works() {
        return;
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let own = MountOptions { owner: Owner { uid, gid }, exec: true, ..MountOptions::default() };
    let mut wrong = Vec::new();
    for row in ROWS {
        if !possible(is_there(row.tool), &format!("{} is not installed: {}", row.tool, row.line)) {
            continue;
        }
        let seen = (runs(row, &own), runs(row, &MountOptions::default()));
        if seen != (row.own, row.mounted) {
            wrong.push(format!("{}: {seen:?}", row.line));
        }
    }
    assert!(wrong.is_empty(), "ran as (the user's own, in a mount): {wrong:#?}");
}

#[test]
fn the_table_in_the_documentation_is_what_is_tried() {
    let text = include_str!("../../../docs/security.md");
    let shown = |ran: bool| if ran { "runs" } else { "no" };
    for row in ROWS {
        let line = format!("| `{}` | {} | {} |", row.line, shown(row.own), shown(row.mounted));
        assert!(text.contains(&line), "docs/security.md misses: {line}");
    }
}
