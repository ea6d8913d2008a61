//! JSON as YAML, in the form in which kubectl writes it: the members by name, lists not indented.

use serde_json::Value;
use std::fmt::Write as _;

/// A document.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// An object or a list that is not empty, from the beginning of a line, or behind a `- `, to the end of one.
fn block(out: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    let mut first = true;
    let mut begin = |out: &mut String| {
        // The first line is at its place already where it follows `- `.
        if !std::mem::take(&mut first) || out.is_empty() || out.ends_with('\n') {
            out.push_str(&margin);
        }
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                begin(out);
                string(out, name, None);
                out.push(':');
                match value {
                    Value::Object(members) if !members.is_empty() => {
                        out.push('\n');
                        block(out, value, indent + 2);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        block(out, value, indent);
                    }
                    _ => {
                        out.push(' ');
                        scalar(out, value, indent + 2);
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                begin(out);
                out.push_str("- ");
                match item {
                    Value::Object(members) if !members.is_empty() => block(out, item, indent + 2),
                    Value::Array(items) if !items.is_empty() => block(out, item, indent + 2),
                    _ => {
                        scalar(out, item, indent + 2);
                        out.push('\n');
                    }
                }
            }
        }
        _ => {}
    }
}

/// Without the line end, but for those within a text of several lines.
fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) => string(out, text, Some(indent)),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        // As JSON writes it. Writing to memory does not fail.
        other => _ = write!(out, "{other}"),
    }
}

/// `indent` is that of its lines, where it may have several.
fn string(out: &mut String, text: &str, indent: Option<usize>) {
    if is_plain(text) {
        return out.push_str(text);
    }
    let lines = text.strip_suffix('\n').unwrap_or(text);
    let shown = |c: char| c == '\n' || c == '\t' || !(c.is_control() || is_special(c));
    if let Some(indent) = indent
        && lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.ends_with('\n')
        && text.chars().all(shown)
        && !lines.split('\n').any(|line| !line.is_empty() && line.trim().is_empty())
    {
        out.push_str(if lines.len() == text.len() { "|-" } else { "|" });
        for line in lines.split('\n') {
            out.push('\n');
            if !line.is_empty() {
                out.extend(std::iter::repeat_n(' ', indent));
                out.push_str(line);
            }
        }
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // All of them fit into four digits.
            c if c.is_control() || is_special(c) => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What a reader of YAML takes for the end of a line, or for no character of a text.
fn is_special(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether it is itself, to every reader of YAML, without quotes.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let of = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                ' ' | '_' | '.' | '/' | ':' | '@' | '+' | '-' | '=' | ',' | '(' | ')' | ';'
            )
    };
    let begins =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_' | '('));
    begins
        && text.chars().all(of)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_written_as_kubectl_writes_it() {
        let value = json!({
            "kind": "Pod", "spec": {"containers": [
                {"args": ["--port=80", "-v"], "name": "a", "env": [{"name": "X", "value": "1"}], "ports": [], "limits": {}},
                {"name": "b", "tty": true, "size": 0.5}, [["x"], []], null],
            },
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}, "creationTimestamp": "2026-01-05T09:00:00Z"},
            "data": {"run.sh": "#!/bin/sh\n\necho hello: # no comment\n", "end": "a\nb"},
        });
        let expected = "\
data:
  end: |-
    a
    b
  run.sh: |
    #!/bin/sh

    echo hello: # no comment
kind: Pod
metadata:
  creationTimestamp: \"2026-01-05T09:00:00Z\"
  labels:
    app.kubernetes.io/name: web
spec:
  containers:
  - args:
    - \"--port=80\"
    - \"-v\"
    env:
    - name: X
      value: \"1\"
    limits: {}
    name: a
    ports: []
  - name: b
    size: 0.5
    tty: true
  - - - x
    - []
  - null
";
        assert_eq!(text(&value), expected);
    }

    #[test]
    fn what_a_reader_could_take_for_something_else_is_in_quotes() {
        let quoted = [
            "",
            " a",
            "a ",
            "true",
            "No",
            "~",
            "null",
            "1",
            "1e3",
            "0x1f",
            ".5",
            "-",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "?",
            "|",
            ">",
            "'a'",
            "\"a\"",
            "a\\b",
            "2026-01-05",
            "\u{85}x",
            "a\u{2028}b",
            "\t",
            " a\nb",
            "\na",
            "a\n\n",
            "a\r\nb",
            "caf\u{e9}",
            "=",
            "<<",
        ];
        for value in quoted {
            let shown = text(&json!({ "k": value }));
            let own = shown.strip_prefix("k: ").and_then(|own| own.strip_suffix('\n')).unwrap();
            assert!(own.starts_with('"'), "{shown:?}");
            // What is in quotes is read as JSON reads it.
            assert_eq!(serde_json::from_str::<String>(own).unwrap(), value, "{shown:?}");
        }
        for value in [
            "web",
            "nginx:1.25",
            "a b",
            "/var/run",
            "system:node",
            "a=b,c",
            "kube-root-ca.crt",
            "Nope",
        ] {
            assert_eq!(text(&json!({ "k": value })), format!("k: {value}\n"));
        }
        assert_eq!(text(&json!({ "on": 1, "a: b": 2 })), "\"a: b\": 2\n\"on\": 1\n");
    }
}
