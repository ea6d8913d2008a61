//! How much is said, in which form: `--json`, `--quiet`, `--verbose`, `--color`.
//!
//! Invariant: with `--json` standard output is one JSON document, however the command ends, and standard error
//! holds nothing but questions to a person, and the warnings for which a document of another form has no place.
//! docs/json.md has its form.

use super::failure::Failure;
use clap::ValueEnum;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// What the flags say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub color: ColorChoice,
}

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// What a command has said so far, for the document at its end.
#[derive(Debug, Default)]
struct Said {
    text: String,
    result: Option<Value>,
    told: Vec<Told>,
    /// The document has been written.
    ended: bool,
    /// Documents are written as they come.
    lines: bool,
}

/// A line that would go to standard error.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub kind: String,
    pub text: String,
}

static SAID: Mutex<Said> = Mutex::new(Said {
    text: String::new(),
    result: None,
    told: Vec::new(),
    ended: false,
    lines: false,
});

/// For this process. The first call counts.
pub fn choose(output: Output) {
    let _ = OUTPUT.set(output);
}

pub fn chosen() -> Output {
    OUTPUT.get().copied().unwrap_or_default()
}

impl ColorChoice {
    /// Whether colours go to a stream.
    pub fn on(self, stream: &impl IsTerminal) -> bool {
        // no-color.org: set, and not to nothing.
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => stream.is_terminal() && !unwanted(),
        }
    }
}

/// Keeps a text for the document.
pub fn keep_text(text: &str) {
    SAID.lock().text.push_str(text);
}

/// Keeps what a program wants to know, in place of the text.
pub fn keep(result: Value) {
    SAID.lock().result = Some(result);
}

/// Keeps a warning or a note.
pub fn keep_told(kind: &str, text: &str) {
    SAID.lock().told.push(Told { kind: kind.to_owned(), text: text.to_owned() });
}

/// The command writes documents of its own, one a line; only a failure still has one.
pub fn each_line() {
    SAID.lock().lines = true;
}

/// The document of a command that has ended as `ended` says, unless it was written before.
pub fn document(ended: &Result<ExitCode, Failure>) -> Option<String> {
    let mut said = SAID.lock();
    if std::mem::replace(&mut said.ended, true) || (said.lines && ended.is_ok()) {
        return None;
    }
    Some(written(&mut said, ended))
}

/// What was told and stands in no document.
pub fn untold() -> Vec<Told> {
    std::mem::take(&mut SAID.lock().told)
}

fn written(said: &mut Said, ended: &Result<ExitCode, Failure>) -> String {
    let ok = matches!(ended, Ok(code) if *code == ExitCode::SUCCESS);
    let mut document = Map::from_iter([("ok".to_owned(), Value::Bool(ok))]);
    if let Err(Failure { message, hints, exit }) = ended {
        let exit = *exit as u8;
        let error = json!({ "message": message, "hints": hints, "exit": exit });
        document.insert("error".to_owned(), error);
    }
    if let Some(result) = &said.result {
        document.insert("result".to_owned(), result.clone());
    } else if let Some(Value::Array(_) | Value::Object(_)) = bare(&said.text) {
        // A command that has a form of its own.
        if ended.is_ok() {
            return said.text.clone();
        }
        document.insert("result".to_owned(), bare(&said.text).unwrap_or_default());
    } else if !said.text.is_empty() {
        document.insert("result".to_owned(), json!({ "text": said.text }));
    }
    if !said.told.is_empty() {
        document.insert("warnings".to_owned(), json!(std::mem::take(&mut said.told)));
    }
    Value::Object(document).to_string() + "\n"
}

fn bare(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    fn value(said: &mut Said, ended: Result<ExitCode, Failure>) -> Value {
        let text = written(said, &ended);
        assert!(text.ends_with('\n'));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_document_says_how_it_ended_and_what_was_said() {
        let text = |text: &str| Said { text: text.to_owned(), ..Said::default() };
        assert_eq!(value(&mut text(""), Ok(ExitCode::SUCCESS)), json!({ "ok": true }));
        let said = value(&mut text("a\nb\n"), Ok(ExitCode::SUCCESS));
        assert_eq!(said, json!({ "ok": true, "result": { "text": "a\nb\n" } }));
        let told = vec![Told { kind: "warning".into(), text: "w".into() }];
        let mut said = Said { result: Some(json!({ "n": 1 })), told, ..text("one\n") };
        assert_eq!(
            value(&mut said, Ok(ExitCode::from(2))),
            json!({ "ok": false, "result": { "n": 1 }, "warnings": [{ "kind": "warning", "text": "w" }] })
        );
        let failure = || Failure::new("no").hint("do").exit(Exit::NotMounted);
        assert_eq!(
            value(&mut text(""), Err(failure())),
            json!({ "ok": false, "error": { "message": "no", "hints": ["do"], "exit": 3 } })
        );
        // What has a form of its own keeps it, and is the result where something fails beside it.
        let mut own = text("[1]\n");
        own.told.push(Told { kind: "warning".into(), text: "w".into() });
        assert_eq!(value(&mut own, Ok(ExitCode::SUCCESS)), json!([1]));
        assert_eq!(own.told.len(), 1, "its form has no place for a warning");
        assert_eq!(value(&mut own, Err(failure()))["warnings"][0]["text"], "w");
        assert!(own.told.is_empty());
        assert_eq!(value(&mut text("[1]\n"), Err(failure()))["result"], json!([1]));
    }
}
