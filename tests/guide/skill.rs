//! `omnifs skill install`.

use omnifs_support::{Omnifs, home};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// The exit code and all that was said.
fn said(omnifs: &Omnifs, directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = omnifs.command();
    command.args(["skill", "install"]).args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.env("HOME", omnifs.path("")).output().expect("run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_skill_is_written_where_it_is_looked_for_and_nothing_is_lost_unasked() {
    let Some(omnifs) = home("skill") else { return };
    let project = omnifs.path("project");
    fs::create_dir(&project).expect("a directory");
    let file = |base: &Path, agent: &str| base.join(format!(".{agent}/skills/omnifs/SKILL.md"));
    for agent in ["claude", "codex", "agents"] {
        let place = file(&project, agent);
        let (code, text) = said(&omnifs, &project, &[agent, "--dry-run"]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains(&*place.to_string_lossy()) && text.contains("\nname: omnifs\n"),
            "{text}"
        );
        assert!(!project.join(format!(".{agent}")).exists(), "it was only asked");

        let (code, text) = said(&omnifs, &project, &[agent]);
        assert_eq!(code, Some(0), "{text}");
        let written = fs::read_to_string(&place).expect("it is there");
        assert!(written.starts_with("---\nname: omnifs\ndescription: "), "{written}");
        let (code, text) = said(&omnifs, &project, &[agent]);
        assert!(code == Some(0) && text.contains("as it should be"), "{text}");

        fs::write(&place, "my own").expect("write");
        let (code, text) = said(&omnifs, &project, &[agent]);
        assert!(code == Some(1) && text.contains("--yes"), "{text}");
        assert_eq!(fs::read_to_string(&place).expect("it is there"), "my own");
        let (code, text) = said(&omnifs, &project, &[agent, "--yes"]);
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(fs::read_to_string(&place).expect("it is there"), written);

        let (code, text) = said(&omnifs, &project, &[agent, "--home"]);
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(
            fs::read_to_string(file(&omnifs.path(""), agent)).expect("it is there"),
            written
        );
    }
}
