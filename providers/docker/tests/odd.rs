//! One odd item of a listing leaves the others, and is named.
#![allow(clippy::unwrap_used)]

use omnifs_docker::Docker;
use omnifs_sdk::testing::{Mount, Recorded, odd};
use serde_json::Value;

/// The first item of a recorded listing.
fn item(request: &str, pointer: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded/engine.json")).unwrap();
    let exchange = all.into_iter().find(|exchange| exchange["request"] == request).unwrap();
    exchange["body"].pointer(pointer).unwrap()[0].clone()
}

/// Ninety-nine items, each its own, with what names it.
fn others(rename: impl Fn(&mut Value, usize)) -> Vec<String> {
    let other = |number| {
        let mut other = Value::default();
        rename(&mut other, number);
        other.to_string()
    };
    (0..99).map(other).collect()
}

/// Lists `directories` for each way in which an item may be odd: the other 99 show, and the odd one shows or
/// is named in the note of the listing.
fn others_show(
    item: &Value,
    path: &str,
    wrap: impl Fn(String) -> String,
    rename: impl Fn(&mut Value, usize),
    shown: &[(&str, &str)],
) {
    let cases = odd(item);
    assert!(cases.len() > 50, "{}", cases.len());
    let mut items = others(rename);
    items.insert(50, String::new());
    let mut noted = 0;
    for (what, text) in cases {
        items[50] = text;
        // What has no name is no entry of `by-name`, and nothing odd.
        let nameless = ["/Names ", "/RepoTags "].iter().any(|list| what.starts_with(list));
        let mount = Mount::<Docker>::new(Recorded::new().get(path, wrap(items.join(","))));
        for (directory, prefix) in shown {
            let names = mount.list(directory).unwrap_or_else(|error| {
                panic!("{directory}, where {what}: {error:?}");
            });
            let others = names.iter().filter(|name| name.starts_with(prefix)).count();
            assert!(others >= 99, "{directory}, where {what}: {others} others");
            let partials = mount.partials();
            let note = partials.first();
            let told = names.len() >= 100 || note.is_some() || nameless;
            assert!(told, "{directory}, where {what}: not named");
            if let Some((_, count, note)) = note {
                noted += 1;
                assert!(*count >= 99, "{what}");
                assert!(note.contains(" is left out (") || note.contains("with less"), "{note}");
            }
        }
    }
    assert!(noted > 0, "no case was odd enough to be named");
}

#[test]
fn of_a_hundred_containers_one_is_odd() {
    let item = item("GET /containers/json?all=1", "");
    let rename = |other: &mut Value, number: usize| {
        other["Id"] = format!("f00d{number:060}").into();
        other["Names"] = vec![format!("/other-{number}")].into();
    };
    let shown = [("containers/by-name", "other-"), ("containers/by-id", "f00d")];
    let path = "/containers/json?all=1";
    others_show(&item, path, |items| format!("[{items}]"), rename, &shown);
}

#[test]
fn of_a_hundred_images_one_is_odd() {
    let item = item("GET /images/json", "");
    let rename = |other: &mut Value, number: usize| {
        other["Id"] = format!("sha256:f00d{number:060}").into();
        other["RepoTags"] = vec![format!("other:{number}")].into();
    };
    let shown = [("images/by-name", "other:"), ("images/by-id", "sha256:f00d")];
    others_show(&item, "/images/json", |items| format!("[{items}]"), rename, &shown);
}

#[test]
fn of_a_hundred_volumes_one_is_odd() {
    let item = item("GET /volumes", "/Volumes");
    let rename = |other: &mut Value, number: usize| {
        other["Name"] = format!("other-{number}").into();
    };
    let wrap = |items: String| format!(r#"{{"Volumes": [{items}], "Warnings": null}}"#);
    others_show(&item, "/volumes", wrap, rename, &[("volumes", "other-")]);
}

#[test]
fn of_a_hundred_networks_one_is_odd() {
    let item = item("GET /networks", "");
    let rename = |other: &mut Value, number: usize| {
        other["Id"] = format!("f00d{number:060}").into();
        other["Name"] = format!("other-{number}").into();
    };
    let shown = [("networks", "other-")];
    others_show(&item, "/networks", |items| format!("[{items}]"), rename, &shown);
}

#[test]
fn a_list_that_is_null_is_empty() {
    for (path, body, directory) in [
        ("/containers/json?all=1", "null", "containers/by-name"),
        ("/images/json", "null", "images/by-id"),
        ("/volumes", r#"{"Volumes": null}"#, "volumes"),
        ("/networks", "null", "networks"),
    ] {
        let mount = Mount::<Docker>::new(Recorded::new().get(path, body));
        assert_eq!(mount.list(directory).unwrap(), Vec::<String>::new(), "{directory}");
    }
    let id = format!("sha256:{:064}", 1);
    let image = format!(r#"{{"Id": "{id}", "RepoTags": ["bare:1"]}}"#);
    let upstream = Recorded::new()
        .get("/images/json", format!("[{image}]"))
        .get(&format!("/images/{id}/history"), "null");
    let mount = Mount::<Docker>::new(upstream);
    mount.list("images/by-name").unwrap();
    assert_eq!(mount.read("images/by-name/bare:1/history.json").unwrap(), "[]\n");
}
