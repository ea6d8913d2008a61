//! Files that are not what they seem.

use crate::home;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_fifo_in_the_place_of_a_file_is_not_waited_for() {
    let Some(omnifs) = home("a_fifo_in_the_place_of_a_file_is_not_waited_for") else { return };
    let omnifs = omnifs.env("GITHUB_TOKEN", "no-token-of-anybody");
    let fifo = omnifs.path("x.wasm");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("mkfifo");
    let fifo = fifo.display().to_string();
    let point = omnifs.mount_point().display().to_string();
    let (config, ca) = (omnifs.path("c.toml"), omnifs.path("ca.toml"));
    fs::write(&config, format!("[instances.github]\ncredential-file = \"{fifo}\"\n"))
        .expect("c.toml");
    fs::write(&ca, format!("[instances.github.endpoints.api]\nca-file = \"{fifo}\"\n"))
        .expect("ca");
    let (config, ca) = (config.display().to_string(), ca.display().to_string());
    let begun = Instant::now();
    for arguments in [
        &["providers", "info", fifo.as_str()][..],
        &["providers", "add", &fifo, "--yes"],
        &["--config", &fifo, "config", "show"],
        &["mount", &point, "--provider", &format!("x={fifo}")],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        let said = ran.stdout + &ran.stderr;
        assert!(
            !ran.status.success() && said.contains("not a regular file"),
            "{arguments:?}: {said}"
        );
    }
    for config in [config, ca] {
        let ran = omnifs.run(&["--config", &config, "auth", "status"]).expect("within a minute");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("not a regular file"), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
}
