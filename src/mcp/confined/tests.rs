use super::*;
use std::fs;
use std::io::Read as _;

fn text(confined: &Confined, path: &str) -> Result<String, String> {
    let opened = confined.open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    opened.file.ok_or("a directory")?.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn no_path_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    let root = dir.path().join("mount");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/file"), "inside").unwrap();
    let confined = Confined::new(&root).unwrap();
    assert_eq!(text(&confined, "a/b/file").unwrap(), "inside");
    assert_eq!(text(&confined, "./a//b/./file").unwrap(), "inside");
    let absolute = dir.path().join("secret").display().to_string();
    for path in [
        "../secret",
        "a/../../secret",
        "a/b/../../../secret",
        "..",
        "a/..",
        &absolute,
        "/etc/passwd",
        "//etc/passwd",
        "a/b/file/..",
        "a/b/file/x",
        "a\0b",
        &"x/".repeat(100),
    ] {
        assert!(confined.open(path).is_err(), "{path:?}");
        assert!(confined.list(path, 10).is_err(), "{path:?}");
    }
}

#[cfg(unix)]
#[test]
fn no_link_leads_out_and_those_within_lead_on() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "outside").unwrap();
    let root = dir.path().join("mount");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/file"), "inside").unwrap();
    for (target, name) in [
        ("../file", "a/b/up"),
        ("b/up", "a/twice"),
        ("b", "a/directory"),
        ("../outside/secret", "out"),
        ("../../outside/secret", "a/out"),
        ("../outside", "out-directory"),
        ("a/../../outside/secret", "through"),
        ("/etc/passwd", "absolute"),
        ("loop", "loop"),
        ("..", "parent"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    let confined = Confined::new(&root).unwrap();
    for path in ["a/b/up", "a/twice", "a/directory/up", "a/directory/../../x"] {
        let expected = if path.contains("..") { None } else { Some("inside".to_owned()) };
        assert_eq!(text(&confined, path).ok(), expected, "{path}");
    }
    for path in [
        "out",
        "a/out",
        "out-directory/secret",
        "out-directory",
        "through",
        "absolute",
        "loop",
        "parent",
    ] {
        assert!(confined.open(path).is_err(), "{path}");
        assert!(confined.list(path, 10).is_err(), "{path}");
    }
    let (entries, more) = confined.list("a", 3).unwrap();
    assert_eq!((entries.len(), more), (3, true));
}

#[cfg(unix)]
#[test]
fn a_link_that_is_changed_while_it_is_followed_leads_nowhere_else() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), "outside").unwrap();
    let root = dir.path().join("mount");
    fs::create_dir_all(root.join("inside")).unwrap();
    fs::write(root.join("inside/file"), "inside").unwrap();
    let confined = Confined::new(&root).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A directory and a link out of it take turns under one name.
            for turn in 0.. {
                let (place, next) = (root.join("place"), root.join("next"));
                match turn % 2 {
                    0 => symlink("../outside", &next).unwrap(),
                    _ => symlink("inside", &next).unwrap(),
                }
                fs::rename(next, place).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let led = |_: &i32| text(&confined, "place/file").is_ok_and(|text| text != "inside");
        let outside = (0..2_000).filter(led).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(outside, 0);
    });
}
