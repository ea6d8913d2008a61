//! zig as a C compiler and linker for other systems: it has the headers and the symbols of each.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes a program that runs one of zig's tools, such as `cc -target aarch64-macos`. cc's crate passes a target
/// that zig spells otherwise: that one is dropped.
pub fn script(python: &Path, tool: &str, file: &Path) -> Result<()> {
    let text = format!(
        "#!/bin/sh\nfor word do\n  shift\n  case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; \
         esac\ndone\nexec '{}' -m ziglang {tool} \"$@\"\n",
        python.display()
    );
    fs::write(file, text).with_context(|| file.display().to_string())?;
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}
