//! What a service answers a provider: a document, a header, or pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnifs_sdk::fuzzing;

fuzz_target!(|text: &str| {
    let Some((kind, text)) = text.split_once('\n') else { return };
    match kind {
        "items" => fuzzing::items(text),
        "header" => fuzzing::header(text),
        "pages" => fuzzing::pages(text),
        _ => {}
    }
});
