//! Providers that misbehave, beside one that does not.

use omnifs_support::tools::list;
use omnifs_support::{home, provider};
use std::fs;
use std::path::Path;

const EIO: i32 = 5;
const EFBIG: i32 = 27;

fn mount_argument(name: &str, file: &Path) -> [String; 2] {
    ["--provider".into(), format!("{name}={}", file.display())]
}

#[test]
fn each_misdeed_is_an_error_that_names_provider_and_cause_and_harms_nothing_else() {
    let Some(omnifs) = home("hostile") else { return };
    let arguments = [provider("hostile"), provider("hello")].concat();
    let mounted = omnifs.mount(&arguments).expect("mount");
    let before: Vec<_> = list(mounted.path()).expect("list");
    // What is listed, the errno, the cause in `omnifs status`.
    let misdeeds = [
        ("dotdot", EIO, "invalid"),
        ("escape", EIO, "invalid"),
        ("empty-name", EIO, "invalid"),
        ("duplicate-name", EIO, "invalid"),
        ("control-name", EIO, "invalid"),
        ("nul-name", EIO, "invalid"),
        ("both-kinds", EIO, "invalid"),
        ("content-of-directory", EIO, "invalid"),
        ("wrong-size", EIO, "invalid"),
        ("empty-id", EIO, "invalid"),
        ("long-name", EIO, "limit"),
        ("long-id", EIO, "limit"),
        ("huge-listing", EIO, "limit"),
        ("offer-bad", EIO, "invalid"),
        ("panic", EIO, "trap"),
        ("unreachable", EIO, "trap"),
        ("recurse", EIO, "trap"),
        ("exit", EIO, "trap"),
        ("loop", EIO, "limit"),
        ("allocate", EIO, "limit"),
        ("huge-content", EFBIG, "too-large"),
    ];
    let mut wrong = Vec::new();
    for (misdeed, errno, cause) in misdeeds {
        let error = match list(&mounted.join("hostile").join(misdeed)) {
            Ok(entries) => {
                wrong.push(format!("{misdeed}: listed {entries:?}"));
                continue;
            }
            Err(error) => error,
        };
        let status = mounted.status().expect("status");
        let last = &status["errors"][0];
        let seen = (error.raw_os_error(), last["cause"].as_str().unwrap_or_default().to_owned());
        let named = last["provider"] == "hostile" && last["path"] == format!("hostile/{misdeed}");
        let told = last["detail"].as_str().is_some_and(|d| !d.is_empty() && !d.contains('\n'));
        if seen != (Some(errno), cause.to_owned()) || !named || !told {
            wrong.push(format!("{misdeed}: {seen:?} {last}"));
        }
        assert_eq!(
            fs::read_to_string(mounted.join("hello/hello.txt")).expect("hello"),
            "Hello, world!\n"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        list(mounted.path()).expect("list"),
        before,
        "nothing leaked into the parent directory"
    );
    assert_eq!(list(&mounted.join("hostile/good")).expect("list"), ["deeper", "hello", "inline"]);
    assert_eq!(fs::read_to_string(mounted.join("hostile/good/hello")).expect("read"), "hello\n");
}

#[test]
fn a_directory_that_contains_itself_is_refused() {
    let Some(omnifs) = home("self") else { return };
    let mounted = omnifs.mount(&provider("hostile")).expect("mount");
    let error = list(&mounted.join("hostile/self")).expect_err("a tree without end");
    assert_eq!(error.raw_os_error(), Some(EIO));
    let status = mounted.status().expect("status");
    assert_eq!(status["errors"][0]["path"], "hostile/self", "{}", status["errors"]);
}

#[test]
fn a_file_that_is_no_provider_is_named_and_nothing_is_mounted() {
    let Some(omnifs) = home("not_a_provider") else { return };
    let file = omnifs.path("text.wasm");
    fs::write(&file, "not a component").expect("write");
    let module = omnifs.path("module.wasm");
    fs::write(&module, b"\0asm\x01\0\0\0").expect("write");
    let absent = omnifs.path("absent.wasm");
    for (name, file) in [("text", &file), ("module", &module), ("absent", &absent)] {
        let arguments = [mount_argument(name, file), provider("hello")].concat();
        let error = match omnifs.mount(&arguments) {
            Err(error) => error.to_string(),
            Ok(mounted) => panic!("{name}: mounted at {}", mounted.path().display()),
        };
        assert!(error.contains(&format!("--provider {name}: ")), "{error}");
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}
