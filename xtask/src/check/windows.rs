//! Types and lints of the whole workspace for Windows, from any system: nothing is linked or run.
//!
//! Two routes to a standard library: rustup's target; else Debian's rustc-web, cargo-web and
//! rust-web-src build one, which checks types but has no clippy.
//!
//! Build scripts run as for a real build. Those that compile C get mingw-w64's compiler, and a
//! stand-in for Microsoft's `lib`: what they make is never linked. The one of winfsp-sys reads
//! Windows's headers with libclang: mingw-w64's serve.

use crate::step::{loud, minutes, say};
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result};
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TARGET: &str = "x86_64-pc-windows-msvc";
/// rustup fetches some 30 MB; where it cannot, it can take minutes to notice.
const ADD: Duration = Duration::from_secs(180);

/// mingw-w64's headers are for a compiler that knows them as its own. `assert` is used without its
/// header, and a declaration of the compiler's own must not be repeated.
const SHIM: &str = "#include <assert.h>\n#include <windows.h>\n#undef _ReadWriteBarrier\n";

/// Takes the arguments of Microsoft's `lib` and calls `ar`.
const LIB: &str = r#"#!/bin/sh
output=
for argument; do
    shift
    case "$argument" in
        -out:*) output=${argument#-out:} ;;
        -*) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec ar crs "$output" "$@"
"#;

/// Checks the workspace. Where neither route can be taken it says so and what is missing.
pub fn run() -> Result<()> {
    let left_out = |why: &str| loud(&format!("the check for Windows DID NOT RUN: {why}"));
    let missing = setup::need(setup::Goal::Windows)?;
    if let Some(line) = missing.first() {
        left_out(line);
        return Ok(());
    }
    let Some(clang) = libclang() else {
        left_out("no libclang with its headers: apt-get install libclang-dev");
        return Ok(());
    };
    let mut command = match target_added(TARGET) {
        Ok(()) => {
            let mut command = cargo::cargo();
            command.args(["clippy", "--target", TARGET]);
            command
        }
        Err(reason) => {
            say(&format!("{reason}: checking types with a standard library built by rustc-web"));
            if let Err(error) = setup::need(setup::Goal::Fallback) {
                left_out(&format!("{error:#}"));
                return Ok(());
            }
            let mut command = components::system_cargo();
            command.args(["check", "-Z", "build-std=std,panic_unwind", "--target", TARGET]);
            let target = cargo::target()?.join("windows-fallback");
            command.env("CARGO_TARGET_DIR", target);
            command
        }
    };
    let clippy = command.get_args().next().is_some_and(|first| first == "clippy");
    command.args(["--workspace", "--all-targets"]);
    if clippy {
        command.args(["--", "--deny", "warnings"]);
    }
    stand_ins(&mut command, &clang)?;
    step::run(&mut command, &format!("types and lints for {TARGET}"), minutes(30))
}

/// Makes sure that rustup's standard library for a target is there; else says why it is not.
pub fn target_added(target: &str) -> Result<(), String> {
    if components::target_installed(target) {
        return Ok(());
    }
    let rustup = program("rustup").ok_or("there is no rustup")?;
    let mut add = Command::new(rustup);
    let what = format!("adding the {target} target by rustup");
    match step::run(add.args(["target", "add", target]), &what, ADD) {
        Ok(()) if components::target_installed(target) => Ok(()),
        Ok(()) => Err(format!("rustup added {target} to another toolchain")),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// The folder of LLVM with libclang and the compiler's own headers: the newest.
pub fn libclang() -> Option<(PathBuf, PathBuf)> {
    (11..60).rev().find_map(|version| {
        let lib = PathBuf::from(format!("/usr/lib/llvm-{version}/lib"));
        let versions = fs::read_dir(lib.join("clang")).ok()?;
        let resources = versions
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.join("include/stddef.h").is_file())?;
        let library = fs::read_dir(&lib)
            .ok()?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libclang"));
        library.then_some((lib, resources))
    })
}

fn stand_ins(command: &mut Command, (lib, resources): &(PathBuf, PathBuf)) -> Result<()> {
    let folder = cargo::target()?.join("windows");
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let file = folder.join(name);
        // Not written anew without need: build scripts would run anew.
        if fs::read_to_string(&file).ok().as_deref() != Some(text) {
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(&file, text))
                .with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(file)
    };
    let shim = write("shim.h", SHIM)?;
    let ar = write("lib", LIB)?;
    executable(&ar)?;
    let arguments = format!(
        "--target=x86_64-w64-mingw32 -fms-extensions -include {} -resource-dir {} \
         -I/usr/x86_64-w64-mingw32/include",
        shim.display(),
        resources.display()
    );
    command
        .env("LIBCLANG_PATH", lib)
        .env("BINDGEN_EXTRA_CLANG_ARGS", arguments)
        .env("CC_x86_64_pc_windows_msvc", "x86_64-w64-mingw32-gcc")
        .env("AR_x86_64_pc_windows_msvc", ar);
    Ok(())
}

#[cfg(unix)]
fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| file.display().to_string())
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_for_lib_makes_an_archive_of_what_it_is_given() {
        let folder = std::env::temp_dir().join(format!("omnifs-lib-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let lib = folder.join("lib");
        fs::write(&lib, LIB).unwrap();
        executable(&lib).unwrap();
        fs::write(folder.join("a b.o"), "object").unwrap();
        let archive = folder.join("out.a");
        let out = format!("-out:{}", archive.display());
        let mut command = Command::new("sh");
        command.arg(&lib).args([&out, "-nologo", "a b.o"]).current_dir(&folder);
        step::run(&mut command, "lib", minutes(1)).unwrap();
        let list = step::output(Command::new("ar").arg("t").arg(&archive), "ar", minutes(1));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(list.unwrap(), "a b.o\n");
    }
}
