//! What fuzz/ drives of the decoders: whatever a service may answer.

use crate::http::Response;
use crate::items::note;
use crate::manifest::{Endpoint, Manifest};
use crate::testing::{Recorded, host};
use crate::{Items, Members, Next, Raw, json, time};
use serde::Deserialize;
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug, Deserialize)]
#[expect(dead_code)]
struct Issue {
    number: u64,
    title: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    labels: Items<Label>,
    user: Option<Label>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code)]
struct Label {
    name: String,
}

/// Each item of a list is there or named, in one line.
fn whole<T>(items: &Items<T>, sent: Option<usize>) {
    let left_out = items.odd().iter().filter(|odd| !odd.shown).count();
    assert_eq!(items.count, items.len() + left_out);
    if let Some(sent) = sent {
        assert_eq!(items.count, sent);
    }
    assert_eq!(items.is_whole(), left_out == 0);
    if let Some(note) = note(items.odd()) {
        assert!(!note.contains(['\n', '\r']), "{note:?}");
    }
}

/// A document.
pub fn items(text: &str) {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let length = value.as_ref().and_then(Value::as_array).map(Vec::len);
    if let Ok((items, _)) = json::read::<Items<Raw<Issue>>>(text) {
        whole(&items, length);
    } else {
        assert!(length.is_none(), "a list is refused for an item");
    }
    if let Ok((members, _)) = json::read::<Members<Label>>(text) {
        whole(&members, None);
    }
    let _ = json::read::<Issue>(text);
}

/// A header: a link, or a time.
pub fn header(text: &str) {
    let response = Response::with_headers(&[("link", text)]);
    for relation in ["next", "last"] {
        if let Some(target) = response.link(relation) {
            assert!(text.contains(&format!("<{target}>")) && !target.contains('>'));
        }
    }
    let response = Response::with_headers(&[("retry-after", text), ("date", text)]);
    let (_, date) = (response.retry_after(), response.date());
    assert!(date.is_none_or(|seconds| seconds < 253_402_300_800), "after the year 9999");
    if let Some(ms) = time::rfc3339_ms(text) {
        assert_eq!(time::rfc3339_ms(&time::rfc3339(ms)), Some(ms));
    }
}

/// A service's answers: a line is the `Link` header of one and the next line its body, over and over.
pub fn pages(text: &str) {
    const BOUND: usize = 40;
    crate::routes! { mod api = "api" { get items() = "/items" } }
    const MANIFEST: Manifest = Manifest {
        endpoints: &[Endpoint {
            allow: api::RULES,
            ..Endpoint::new(api::ENDPOINT, "https://a.example", "")
        }],
        ..Manifest::new("fuzz", "0.1.0", "")
    };
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let asked = Rc::new(RefCell::new(0));
    let count = asked.clone();
    // The double panics at a request that the manifest does not allow: a link leads to no other path.
    let service = move |_: &str, _: &[(&str, &str)], _: &[u8]| {
        let mut asked = count.borrow_mut();
        let at = *asked * 2;
        *asked += 1;
        let line = |at: usize| lines.get(at).cloned().unwrap_or_default();
        let headers = match line(at) {
            link if link.is_empty() => Vec::new(),
            link => vec![("link".to_owned(), link)],
        };
        (200, headers, line(at + 1).into_bytes())
    };
    let mut upstream = Recorded::new().otherwise(service);
    let (found, _) = host::run(MANIFEST, &mut upstream, || {
        let all = |page: Items<Value>| page;
        api::items().query("per_page", 10).pages(&Next::link(10), BOUND, all)
    });
    if let Ok(pages) = found {
        assert!(pages.items.len() <= BOUND);
    }
    // Each page holds an item or is the last; side by side, no more are asked for than are wanted.
    assert!(*asked.borrow() <= 2 * BOUND + 2, "{} requests", asked.borrow());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_takes_its_corpus() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/sdk");
        let mut taken = 0;
        for input in std::fs::read_dir(corpus).unwrap() {
            let input = std::fs::read(input.unwrap().path()).unwrap();
            let input = String::from_utf8_lossy(&input);
            let (kind, text) = input.split_once('\n').unwrap();
            match kind {
                "items" => items(text),
                "header" => header(text),
                "pages" => pages(text),
                other => panic!("no such kind: {other}"),
            }
            taken += 1;
        }
        assert!(taken > 0);
    }
}
