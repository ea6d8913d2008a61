//! Names that desktop crawlers and shells probe for in every directory and that no service has.
//! Where a directory's listing is not known they are answered "no such file" without asking the
//! provider; a listing that does hold such a name shows it.

/// Version control probes of shell prompts and editors, Finder and Spotlight, Explorer.
const NAMES: [&str; 27] = [
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    ".jj",
    "_darcs",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".Trash",
    ".fseventsd",
    ".hidden",
    ".localized",
    ".metadata_never_index",
    ".metadata_never_index_unless_rootfs",
    ".metadata_direct_scope_only",
    ".TemporaryItems",
    ".ql_disablethumbnails",
    ".ql_disablecache",
    "DCIM",
    "Thumbs.db",
    "desktop.ini",
    "Desktop.ini",
    "autorun.inf",
    ".xdg-volume-info",
    ".directory",
    "$RECYCLE.BIN",
];

/// Whether `name` is such a probe. `._*` are AppleDouble companions; `.Trash-UID` is the trash of
/// the freedesktop specification.
pub fn is_probe(name: &str) -> bool {
    name.starts_with("._") || name.starts_with(".Trash-") || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn probes_are_known_and_ordinary_dot_files_are_not() {
        for name in [".DS_Store", "._api", ".git", "desktop.ini", ".Trash-1000"] {
            assert!(super::is_probe(name), "{name}");
        }
        for name in [".github", ".gitignore", "README.md", "_open", "git", "."] {
            assert!(!super::is_probe(name), "{name}");
        }
    }
}
