//! The tools: what each takes, and what it answers.

use super::confined::{Confined, Error};
use super::search::search;
use super::shown::{MOST, clean, foreign, is_text};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

/// Entries of a directory that are named.
const ENTRIES: usize = 1_000;

/// Bytes of a path and of what is looked for.
const PATH_MAX: usize = 4_096;
const TEXT_MAX: usize = 1_024;

/// A call with its arguments in order.
#[derive(Debug)]
pub enum Call {
    Read { path: String, offset: u64, length: u64 },
    List { path: String },
    Stat { path: String },
    Search { path: String, text: String },
    Errors { instance: Option<String> },
}

pub fn all() -> Vec<Tool> {
    let path = json!({
        "type": "string",
        "description": "below the mount, without a / at the beginning: SERVICE/README.md"
    });
    let tool = |name: &'static str, what: &'static str, properties: Value, required: &[&str]| {
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false
        });
        // INVARIANT: it was written as an object above.
        let schema = schema.as_object().cloned().unwrap_or_default();
        let hints = ToolAnnotations::new().read_only(true).destructive(false).idempotent(true);
        Tool::new(name, what, Arc::new(schema)).with_annotations(hints.open_world(true))
    };
    vec![
        tool(
            "read",
            "Read a file of the mount, or 64 KiB of it from an offset. What was read before costs no request.",
            json!({
                "path": path,
                "offset": { "type": "integer", "minimum": 0, "description": "bytes to skip" },
                "length": { "type": "integer", "minimum": 1, "maximum": MOST, "description": "bytes" }
            }),
            &["path"],
        ),
        tool(
            "list",
            "List a directory of the mount. A listing may stop at a bound: names beyond it can be read too.",
            json!({ "path": path }),
            &["path"],
        ),
        tool(
            "stat",
            "Size, kind and time of the last change of a file or directory.",
            json!({ "path": path }),
            &["path"],
        ),
        tool(
            "search",
            "Find the lines that hold a text, whatever the case, in the files below a directory. It passes over \
             what the service's .ignore lists, as rg does, and stops at bounds: begin as deep as you can.",
            json!({
                "path": path,
                "text": { "type": "string", "description": "what the line holds, as it stands" }
            }),
            &["path", "text"],
        ),
        tool(
            "errors",
            "Why paths failed lately, and what to do: of one service, or of all.",
            json!({
                "instance": { "type": "string", "description": "a directory at the top of the mount" }
            }),
            &[],
        ),
    ]
}

impl Call {
    pub fn read(path: String) -> Call {
        Call::Read { path, offset: 0, length: MOST as u64 }
    }

    /// # Errors
    /// What is wrong with the call.
    pub fn parse(name: &str, arguments: Option<&JsonObject>) -> Result<Call, String> {
        let get = |key: &str| arguments.and_then(|arguments| arguments.get(key));
        let text = |key: &str, most: usize| match get(key) {
            Some(Value::String(text)) if text.len() <= most => Ok(text.clone()),
            Some(_) => Err(format!("{key} is a string of at most {most} bytes")),
            None => Err(format!("{key} is missing")),
        };
        let number = |key: &str, default: u64| match get(key) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| format!("{key} is a whole number")),
        };
        let known: &[&str] = match name {
            "read" => &["path", "offset", "length"],
            "list" | "stat" => &["path"],
            "search" => &["path", "text"],
            "errors" => &["instance"],
            _ => return Err("there is no such tool".to_owned()),
        };
        if arguments.is_some_and(|all| all.keys().any(|key| !known.contains(&key.as_str()))) {
            return Err(format!("{name} takes {}", known.join(", ")));
        }
        let path = || text("path", PATH_MAX);
        Ok(match name {
            "read" => Call::Read {
                path: path()?,
                offset: number("offset", 0)?,
                length: number("length", MOST as u64)?.clamp(1, MOST as u64),
            },
            "list" => Call::List { path: path()? },
            "stat" => Call::Stat { path: path()? },
            "search" => {
                let text = text("text", TEXT_MAX)?;
                if text.is_empty() {
                    return Err("text is empty".to_owned());
                }
                Call::Search { path: path()?, text }
            }
            _ => Call::Errors {
                instance: get("instance").map(|_| text("instance", PATH_MAX)).transpose()?,
            },
        })
    }

    /// # Errors
    /// Why it failed, for the client.
    pub fn run(self, mount: &Confined) -> Result<String, String> {
        match self {
            Call::Read { path, offset, length } => read(mount, &path, offset, length),
            Call::List { path } => list(mount, &path),
            Call::Stat { path } => stat(mount, &path),
            Call::Search { path, text } => find(mount, &path, &text),
            Call::Errors { instance } => errors(mount, instance),
        }
    }
}

/// What keeps a path from being used, and where to look.
fn failure(path: &str, error: &Error) -> String {
    let path = clean(path).replace('\n', " ");
    let path: String = path.chars().take(200).collect();
    match error {
        Error::Refused(_) => format!("{path}: {error}"),
        Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("{path}: there is no such file; README.md of the service has the paths")
        }
        Error::Io(_) => format!("{path}: {error}; the tool `errors` says why and what to do"),
    }
}

fn read(mount: &Confined, path: &str, offset: u64, length: u64) -> Result<String, String> {
    let failed = |error: Error| failure(path, &error);
    let opened = mount.open(path).map_err(failed)?;
    let Some(mut file) = opened.file else { return list(mount, path) };
    let mut bytes = Vec::new();
    let mut fill = || {
        file.seek(SeekFrom::Start(offset))?;
        (&mut file).take(length).read_to_end(&mut bytes)
    };
    fill().map_err(|error| failed(error.into()))?;
    let (offset, bytes) = whole_characters(offset, &bytes);
    if !is_text(bytes) && !bytes.is_empty() {
        return Err(failed(Error::Refused("it holds bytes that are no text")));
    }
    let end = offset.saturating_add(bytes.len() as u64);
    let more = if end < opened.size {
        format!(", bytes {offset} to {end} of {}: give an offset for more", opened.size)
    } else {
        String::new()
    };
    Ok(foreign(&format!("{path}{more}"), bytes))
}

/// Without the rest of a character that begins before, and the beginning of one that ends beyond: the next part
/// begins with that.
fn whole_characters(offset: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let follows = |byte: &&u8| **byte & 0xc0 == 0x80;
    let rest = if offset > 0 { bytes.iter().take(3).take_while(follows).count() } else { 0 };
    let bytes = &bytes[rest..];
    let end = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    };
    (offset + rest as u64, &bytes[..end])
}

fn list(mount: &Confined, path: &str) -> Result<String, String> {
    let (entries, more) = mount.list(path, ENTRIES).map_err(|error| failure(path, &error))?;
    let name = |entry: &super::confined::Entry| {
        let end = match (entry.directory, entry.link) {
            (true, _) => "/",
            (_, true) => "@",
            _ => "",
        };
        format!("{}{end}\n", entry.name)
    };
    let names: String = entries.iter().map(name).collect();
    let more = if more { ", and there are more" } else { "" };
    let place = if path.is_empty() { "the mount" } else { path };
    Ok(foreign(&format!("{} entries of {place}{more}", entries.len()), names.as_bytes()))
}

fn stat(mount: &Confined, path: &str) -> Result<String, String> {
    let opened = mount.open(path).map_err(|error| failure(path, &error))?;
    let time = jiff::Timestamp::from_second(opened.modified);
    let time = time.map_or_else(|_| opened.modified.to_string(), |time| time.to_string());
    Ok(match opened.file {
        Some(_) => format!("file, {} bytes, changed {time}\n", opened.size),
        None => format!("directory, changed {time}\n"),
    })
}

fn find(mount: &Confined, path: &str, text: &str) -> Result<String, String> {
    if path.split('/').all(|name| matches!(name, "" | ".")) {
        return Err("give a path below the top: every service would be asked for everything".into());
    }
    let found = search(mount, path, text).map_err(|error| failure(path, &error))?;
    let mut what = format!("{} lines in {} files below {path}", found.matches, found.files);
    if found.failed > 0 {
        what += &format!("; {} could not be read: the tool `errors` says why", found.failed);
    }
    if found.cut > 0 {
        what += &format!("; of {} only the first MiB, or nothing below them, was read", found.cut);
    }
    if let Some(why) = found.stopped {
        what += &format!("; it stopped short, since {why}: begin deeper");
    }
    Ok(foreign(&what, found.lines.as_bytes()))
}

fn errors(mount: &Confined, instance: Option<String>) -> Result<String, String> {
    let instances = match instance {
        Some(instance) => vec![instance],
        None => {
            let (entries, _) = mount.list("", ENTRIES).map_err(|error| failure("", &error))?;
            entries.into_iter().filter(|entry| entry.directory).map(|entry| entry.name).collect()
        }
    };
    let mut text = String::new();
    for instance in instances {
        let path = format!("{instance}/.omnifs/errors");
        let opened = mount.open(&path).map_err(|error| failure(&path, &error))?;
        let mut bytes = Vec::new();
        let read = opened.file.map(|file| file.take(MOST as u64).read_to_end(&mut bytes));
        read.transpose().map_err(|error| failure(&path, &error.into()))?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        if text.len() > MOST {
            break;
        }
    }
    let what = if text.is_empty() { "nothing has failed" } else { "what has failed" };
    Ok(foreign(what, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: Value) -> Result<Call, String> {
        Call::parse(name, arguments.as_object())
    }

    #[test]
    fn a_call_that_is_not_as_described_is_refused() {
        for (name, arguments) in [
            ("write", json!({ "path": "x" })),
            ("read", json!({})),
            ("read", json!({ "path": 7 })),
            ("read", json!({ "path": "x", "offset": -1 })),
            ("read", json!({ "path": "x", "mode": "w" })),
            ("read", json!({ "path": "x".repeat(5_000) })),
            ("search", json!({ "path": "x" })),
            ("search", json!({ "path": "x", "text": "" })),
            ("errors", json!({ "instance": ["x"] })),
        ] {
            assert!(call(name, arguments.clone()).is_err(), "{name} {arguments}");
        }
        assert!(call("errors", json!({})).is_ok() && Call::parse("errors", None).is_ok());
        let long = call("read", json!({ "path": "x", "length": 1u64 << 40 })).unwrap();
        assert!(matches!(long, Call::Read { length, .. } if length == MOST as u64), "{long:?}");
    }

    #[test]
    fn what_is_read_is_bounded_and_says_how_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("long"), "x".repeat(3 * MOST)).unwrap();
        std::fs::write(dir.path().join("wide"), "\u{20ac}".repeat(MOST)).unwrap();
        std::fs::write(dir.path().join("image"), b"\x89PNG\0").unwrap();
        let mount = Confined::new(dir.path()).unwrap();
        let text = Call::read("long".into()).run(&mount).unwrap();
        assert!(text.len() < MOST + 1_000 && text.contains("bytes 0 to 65536 of 196608"));
        let rest = Call::Read { path: "long".into(), offset: 3 * MOST as u64 - 2, length: 9 };
        let rest = rest.run(&mount).unwrap();
        assert!(rest.contains("\nxx\n") && !rest.contains("give an offset"), "{rest}");
        let wide = Call::read("wide".into()).run(&mount).unwrap();
        assert!(wide.contains("bytes 0 to 65535 of 196608"), "{}", &wide[..200]);
        let rest = Call::Read { path: "wide".into(), offset: 65_536, length: 7 };
        let rest = rest.run(&mount).unwrap();
        assert!(rest.contains("\n\u{20ac}\n") && rest.contains("bytes 65538 to 65541"), "{rest}");
        assert!(Call::read("image".into()).run(&mount).unwrap_err().contains("no text"));
        assert!(Call::read("../x".into()).run(&mount).unwrap_err().contains(".."));
        let stat = Call::Stat { path: "long".into() }.run(&mount).unwrap();
        assert!(stat.starts_with("file, 196608 bytes, changed 20"), "{stat}");
        let find = Call::Search { path: "./".into(), text: "x".into() };
        assert!(find.run(&mount).unwrap_err().contains("below the top"));
    }
}
