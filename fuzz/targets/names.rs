//! Names of entries: what a provider makes of a service's text, and what the host admits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnifs::config::valid_name;
use omnifs::names::{NAME_MAX, Quoted, admit};
use omnifs_sdk::name::{escape, is_cut, unescape};
use std::path::{Component, Path};

fuzz_target!(|text: &str| {
    if admit(text).is_ok() {
        let mut components = Path::new(text).components();
        assert_eq!(components.next(), Some(Component::Normal(text.as_ref())));
        assert_eq!(components.next(), None);
        assert!(text.len() <= NAME_MAX && !text.contains('/') && !text.contains(char::is_control));
    }
    let shown = Quoted(text).to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(!valid_name(text) || admit(text).is_ok());

    let name = escape(text);
    assert_eq!(admit(&name), Ok(()), "{name:?}");
    match is_cut(&name) {
        true => assert_eq!(unescape(&name), None),
        false => assert_eq!(unescape(&name).as_deref(), Some(text), "{name:?}"),
    }
    if let Some(back) = unescape(text) {
        assert_eq!(escape(&back), text);
    }
});
