//! The files of a new provider.

use super::plan::{Field, Kind, Plan};

/// A literal of TOML and of Rust alike.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Neither has a short form for all of these, and no path or field needs one.
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A field in Rust: none of its words, and no digit at its beginning.
fn identifier(field: &Field) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("f_{}", field.name.chars().map(plain).collect::<String>())
}

/// A field's file: `created_at` is `created-at`.
fn leaf(field: &Field) -> String {
    field.name.to_ascii_lowercase().replace('_', "-")
}

/// Each file with its path in the project.
pub fn files(name: &str, plan: &Plan, sdk: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Cargo.toml", cargo(name, sdk)),
        ("src/lib.rs", library(name, plan)),
        ("recorded/list.json", recorded_list(plan)),
        ("recorded/item.json", recorded_item(plan)),
        (".gitignore", "/target\n/mnt\n".to_owned()),
    ]
}

fn cargo(name: &str, sdk: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

# It stands alone, also below another workspace.
[workspace]

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
omnifs-sdk = {sdk}
serde = {{ version = "1", default-features = false, features = ["derive"] }}

[profile.release]
lto = true
codegen-units = 1
strip = true
panic = "abort"
"#
    )
}

/// `a-tracker` is `ATracker`.
fn type_name(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('-').filter(|part| !part.is_empty()).map(word).collect()
}

fn library(name: &str, plan: &Plan) -> String {
    let key = identifier(&plan.key);
    let mut members = member(&plan.key, plan.key.kind.rust());
    let mut leaves = String::new();
    for field in &plan.fields {
        members += &member(field, &format!("Option<{}>", field.kind.rust()));
        let (file, value) = (quoted(&leaf(field)), identifier(field));
        leaves += &format!("        leaf({file}, |i: &Self| optional(i.0.{value}.as_ref())),\n");
    }
    let (page, items) = match &plan.member {
        None => {
            (String::new(), "    let all: Items<Raw<Answer>> = api::list().json()?;\n".to_owned())
        }
        Some(member) => (
            format!(
                "\n/// The list's answer.\n#[derive(serde::Deserialize)]\nstruct Page {{\n    \
                 #[serde(rename = {})]\n    items: Items<Raw<Answer>>,\n}}\n",
                quoted(member)
            ),
            "    let all = api::list().json::<Page>()?.items;\n".to_owned(),
        ),
    };
    let (list, item, url, summary) =
        (quoted(&plan.list), quoted(&plan.item), quoted(&plan.url), quoted(&plan.summary));
    let provider = type_name(name);
    let (tested, shown) = tested(plan);
    let requested = format!("GET {}", plan.list);
    let requested = quoted(&requested);
    format!(
        r#"//! {name} as files. What each table means is in the SDK's documentation.

use omnifs_sdk::manifest::Endpoint;
use omnifs_sdk::*;

// The requests, which are all that the host lets through. A `*` is one segment.
routes! {{
    mod api = "api" {{
        get list() = {list},
        get item(key) = {item},
    }}
}}

ids! {{
    /// What there is. The texts are part of each inode: they stay as they are.
    pub enum Id {{
        // Asked for at each use, since no event tells of a change. With a feed it is `scoped("...")`.
        _: volatile(),
        Root = "root",
        Item(key: String) = "item",
    }}
}}

impl Tree for Id {{
    fn shape(self) -> Shape<Id> {{
        match self {{
            Id::Root => open_ended((), |()| list(), |(), name| named(name)),
            Id::Item(key) => object(move || item(&key)),
        }}
    }}
}}

/// What is read of an answer.
#[derive(Debug, serde::Deserialize)]
struct Answer {{
{members}}}
{page}
struct Item(Raw<Answer>);

impl Object for Item {{
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
{leaves}        leaf("item.json", |i: &Self| i.0.json.content(&[])),
    ];

    fn id(&self) -> Id {{
        Id::Item(self.0.{key}.to_string())
    }}
}}

fn list() -> Result<Listing<Id>> {{
{items}    // By name alone: what an item holds is asked for as it is looked at. Where the list's answer holds the same as an
    // item's own, `Entry::object(name, &Item(answer))` spares that request.
    let entry = |answer: Raw<Answer>| {{
        let key = answer.{key}.to_string();
        Entry::directory(key.clone(), Id::Item(key))
    }};
    Ok(all.map(entry).into())
}}

fn item(key: &str) -> Result<Item> {{
    Ok(Item(api::item(key).json()?))
}}

fn named(name: &str) -> Result<Entry<Id>> {{
    let found = item(name)?;
    Ok(Entry::object(found.0.{key}.to_string(), &found))
}}

/// The provider.
#[derive(Debug)]
pub struct {provider};

impl Provider for {provider} {{
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {{
        endpoints: &[Endpoint {{
            allow: api::RULES,
            ..Endpoint::new(api::ENDPOINT, {url}, "reads what is shown")
        }}],
        ..Manifest::new("{name}", env!("CARGO_PKG_VERSION"), {summary})
    }};
}}

export!(service, {provider});

#[cfg(test)]
mod tests {{
    use super::*;
    use omnifs_sdk::testing::{{Mount, Recorded}};

    /// Answers of the service, to be recorded anew with curl.
    const LIST: &str = include_str!("../recorded/list.json");
    const ITEM: &str = include_str!("../recorded/item.json");

    #[test]
    fn an_item_shows_its_fields() {{
        let recorded = Recorded::new().get({list}, LIST).get({one}, ITEM);
        let mount = Mount::<{provider}>::new(recorded);
        assert_eq!(mount.list("").unwrap(), [{shown_key}]);
{shown}        assert_eq!(mount.requests()[0], {requested});
    }}
}}
"#,
        one = tested.path,
        shown_key = tested.key,
    )
}

/// Of the recorded item.
struct Tested {
    path: String,
    key: String,
}

/// What the test reads, and the lines that read it.
fn tested(plan: &Plan) -> (Tested, String) {
    let (_, key) = sample_key(plan);
    let line = |field: &Field| {
        let (_, value) = field.kind.sample(&field.name);
        let (path, value) = (quoted(&format!("{key}/{}", leaf(field))), newline(&value));
        format!("        assert_eq!(mount.read({path}).unwrap(), {value});\n")
    };
    let lines = plan.fields.iter().take(3).map(line).collect();
    (Tested { path: quoted(&plan.item.replace('*', &key)), key: quoted(&key) }, lines)
}

/// A literal of the text and the end of its line.
fn newline(text: &str) -> String {
    let literal = quoted(text);
    format!("{}\\n\"", &literal[..literal.len() - 1])
}

/// The recorded item's key, as JSON and in a path: one word.
fn sample_key(plan: &Plan) -> (String, String) {
    match plan.key.kind {
        Kind::Text => ("\"first\"".to_owned(), "first".to_owned()),
        kind => kind.sample(&plan.key.name),
    }
}

fn member(field: &Field, kind: &str) -> String {
    format!("    #[serde(rename = {})]\n    {}: {kind},\n", quoted(&field.name), identifier(field))
}

fn recorded_item(plan: &Plan) -> String {
    let pair = |field: &Field, value: String| format!("{}: {value}", quoted(&field.name));
    let (key, _) = sample_key(plan);
    let first = pair(&plan.key, key);
    let rest = plan.fields.iter().map(|field| pair(field, field.kind.sample(&field.name).0));
    format!("{{{}}}\n", std::iter::once(first).chain(rest).collect::<Vec<_>>().join(", "))
}

fn recorded_list(plan: &Plan) -> String {
    let items = format!("[{}]", recorded_item(plan).trim_end());
    match &plan.member {
        None => items + "\n",
        Some(member) => format!("{{{}: {items}}}\n", quoted(member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_description_says_ends_no_literal() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c?d""#);
        assert_eq!(newline("a\""), r#""a\"\n""#);
        let field = |name: &str| Field { name: name.to_owned(), kind: Kind::Text };
        assert_eq!(identifier(&field("type")), "f_type");
        assert_eq!(identifier(&field("3-D \u{202e}é")), "f_3_d___");
        assert_eq!(leaf(&field("created_at")), "created-at");
    }

    #[test]
    fn the_recorded_answers_are_json_and_hold_the_plan() {
        let plan = Plan { member: Some("items".into()), ..Plan::blank() };
        let list: serde_json::Value = serde_json::from_str(&recorded_list(&plan)).unwrap();
        let item: serde_json::Value = serde_json::from_str(&recorded_item(&plan)).unwrap();
        assert_eq!(list["items"][0], item);
        assert_eq!((&item["id"], &item["done"]), (&7.into(), &true.into()));
    }
}
