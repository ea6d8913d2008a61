//! The tree over what a real server said (`recorded/everything.json`: `@modelcontextprotocol/server-everything`
//! 2026.8.31, by Server-Sent Events), and over what others may say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use omnifs_mcp::Mcp;
use omnifs_sdk::testing::{Mount, Recorded, odd};
use omnifs_sdk::{Coherence, Error, name};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

type Said = (u16, Vec<(String, String)>, Vec<u8>);

const DOCUMENT: &str = "demo://resource/static/document/instructions.md";

fn kind(kind: &str) -> Vec<(String, String)> {
    vec![("content-type".to_owned(), kind.to_owned())]
}

/// A server without sessions, which answers a method and its parameters by a result or an error, as JSON.
fn server(answer: impl Fn(&str, &Value) -> Value + 'static) -> Recorded {
    Recorded::new().otherwise(move |line, headers, body| {
        assert_eq!(line, "POST /mcp");
        let accepted = ("accept", "application/json, text/event-stream");
        assert!(headers.contains(&accepted), "{headers:?}");
        let asked: Value = serde_json::from_slice(body).unwrap();
        let mut message = answer(asked["method"].as_str().unwrap(), &asked["params"]);
        message["jsonrpc"] = json!("2.0");
        if message["id"].is_null() {
            message["id"] = asked["id"].clone();
        }
        (200, kind("application/json"), message.to_string().into_bytes())
    })
}

fn result(result: Value) -> Value {
    json!({ "result": result })
}

fn error(code: i64) -> Value {
    json!({ "error": { "code": code, "message": "no\nway" } })
}

/// The real server, as it was recorded.
fn everything() -> Recorded {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("recorded/everything.json")).unwrap();
    Recorded::new().otherwise(move |_, _, body| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let is =
            |one: &&Value| one["method"] == asked["method"] && one["params"] == asked["params"];
        let found = recorded.iter().find(is).unwrap_or_else(|| panic!("not recorded: {asked}"));
        let body = found["body"].as_str().unwrap();
        let id = format!("\"id\":{}", asked["id"]);
        let body = body.replace("\"id\":\"ID\"", &id);
        (200, kind("text/event-stream"), body.into_bytes())
    })
}

fn mount() -> Mount<Mcp> {
    Mount::new(everything())
}

#[test]
fn the_tree_is_the_promised_one() {
    let mount = mount();
    assert_eq!(mount.list("").unwrap(), ["prompts", "resources", "templates", "tools"]);
    assert_eq!(mount.requests(), [""; 0]);
    assert_eq!(mount.list("resources").unwrap().len(), 7);
    assert!(mount.list("resources").unwrap().contains(&name::escape(DOCUMENT)));
    assert_eq!(
        mount.list("templates").unwrap(),
        ["blob", "text"]
            .map(|kind| format!("demo:%2F%2Fresource%2Fdynamic%2F{kind}%2F{{resourceId}}"))
    );
    assert_eq!(
        mount.list("prompts").unwrap(),
        ["args-prompt", "completable-prompt", "resource-prompt", "simple-prompt"]
    );
    assert!(mount.list("tools").unwrap().contains(&"echo".to_owned()));
    for path in ["resources", "tools/echo/title", "prompts/simple-prompt/prompt.json"] {
        let coherence = mount.stat(path).unwrap().coherence;
        let fixed = path == "resources" && matches!(coherence, Coherence::Immutable);
        assert!(fixed || matches!(coherence, Coherence::Volatile), "{path}");
    }
}

#[test]
fn a_tool_is_described_and_never_called() {
    let mount = mount();
    let leaves = ["description", "input-schema.json", "parameters.tsv", "title", "tool.json"];
    assert_eq!(mount.list("tools/get-annotated-message").unwrap(), leaves);
    let read = |leaf: &str| mount.read(&format!("tools/get-annotated-message/{leaf}")).unwrap();
    assert_eq!(read("title"), "Get Annotated Message Tool\n");
    assert!(read("description").starts_with("Demonstrates how annotations"));
    assert_eq!(
        read("parameters.tsv"),
        "name\ttype\trequired\tvalues\tdescription\n\
         includeImage\tboolean\tfalse\t\tWhether to include an example image\n\
         messageType\tstring\ttrue\terror,success,debug\tType of message to demonstrate different annotation patterns\n"
    );
    let schema: Value = serde_json::from_str(&read("input-schema.json")).unwrap();
    let tool: Value = serde_json::from_str(&read("tool.json")).unwrap();
    assert_eq!(schema, tool["inputSchema"]);
    let structured = mount.list("tools/get-structured-content").unwrap();
    assert!(structured.contains(&"output-schema.json".to_owned()));
    assert!(matches!(mount.list("tools/nothing"), Err(Error::NotFound)));
}

#[test]
fn a_resource_is_what_its_read_brings_and_one_that_is_not_listed_is_found_by_its_name() {
    let mount = mount();
    let at = format!("resources/{}", name::escape(DOCUMENT));
    let read = |leaf: &str| mount.read(&format!("{at}/{leaf}")).unwrap();
    assert_eq!(read("uri"), format!("{DOCUMENT}\n"));
    assert_eq!(
        (read("name").as_str(), read("mime-type").as_str()),
        ("instructions.md\n", "text/markdown\n")
    );
    assert_eq!((read("title").as_str(), read("size").as_str()), ("", ""));
    let content = read("content");
    assert!(content.starts_with("# Everything Server") && content.contains('\u{2013}'));
    let contents = mount.list(&format!("{at}/contents")).unwrap();
    assert_eq!(contents, [name::escape(DOCUMENT)]);
    assert_eq!(read(&format!("contents/{}", contents[0])), content);

    let blob = "resources/demo:%2F%2Fresource%2Fdynamic%2Fblob%2F1";
    assert_eq!(mount.list(blob).unwrap(), ["content", "contents", "uri"]);
    let content = mount.read(&format!("{blob}/content")).unwrap();
    assert!(content.starts_with("Resource 1: This is a base64 blob created at"), "{content}");
    // What that server says of one that it does not have is no word for that.
    assert!(matches!(mount.list("resources/demo:%2F%2Fnothing"), Err(Error::Invalid(_))));
    mount.requests();
    for tool in [".git", "AGENTS.md", "x", ":", "1:x", "a b:c", "demo:"] {
        assert!(matches!(mount.list(&format!("resources/{tool}")), Err(Error::NotFound)), "{tool}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_prompt_has_its_arguments_and_its_messages_where_it_needs_none() {
    let mount = mount();
    assert_eq!(
        mount.list("prompts/simple-prompt").unwrap(),
        ["arguments.tsv", "description", "messages.json", "messages.md", "prompt.json", "title"]
    );
    let page = mount.read("prompts/simple-prompt/messages.md").unwrap();
    assert_eq!(page, "## user\n\nThis is a simple prompt without arguments.\n");
    let messages = mount.read("prompts/simple-prompt/messages.json").unwrap();
    let messages: Value = serde_json::from_str(&messages).unwrap();
    assert_eq!(messages[0]["content"]["type"], "text");
    assert_eq!(
        mount.list("prompts/args-prompt").unwrap(),
        ["arguments.tsv", "description", "prompt.json", "title"]
    );
    assert_eq!(
        mount.read("prompts/args-prompt/arguments.tsv").unwrap(),
        "name\trequired\tdescription\ncity\ttrue\tName of the city\nstate\tfalse\t\n"
    );
}

#[test]
fn lists_are_read_to_their_end_and_circles_are_an_error() {
    let pages = |next: fn(u64) -> Value| {
        Mount::<Mcp>::new(server(move |_, params| {
            let at = params["cursor"].as_str().map_or(0, |at| at.parse().unwrap());
            result(json!({ "tools": [{ "name": format!("t{at}") }], "nextCursor": next(at) }))
        }))
    };
    let three = pages(|at| if at < 2 { json!((at + 1).to_string()) } else { Value::Null });
    assert_eq!(three.list("tools").unwrap(), ["t0", "t1", "t2"]);
    assert_eq!(three.requests().len(), 3);
    assert_eq!(three.read("tools/t2/title").unwrap(), "");
    let circle = |next| pages(next).list("tools");
    assert!(matches!(circle(|_| json!("7")), Err(Error::Invalid(_))));
    assert!(matches!(circle(|at| json!(((at + 1) % 2).to_string())), Err(Error::Invalid(_))));
}

#[test]
fn an_odd_item_is_left_out_and_costs_no_other() {
    let good = json!({ "name": "a", "description": "A", "inputSchema": { "type": "object" } });
    for (what, item) in odd(&good) {
        for media in ["application/json", "text/event-stream"] {
            let item = item.clone();
            let upstream = Recorded::new().otherwise(move |_, _, body| {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let other = r#"{"name":"b","title":null,"inputSchema":null}"#;
                let answer =
                    format!(r#"{{"id":{},"result":{{"tools":[{item},{other}]}}}}"#, asked["id"]);
                let answer = match media {
                    "application/json" => answer,
                    _ => format!("data: {answer}\n\n"),
                };
                (200, kind(media), answer.into_bytes())
            });
            let mount = Mount::<Mcp>::new(upstream);
            assert!(mount.list("tools").unwrap().contains(&"b".to_owned()), "{what}");
            assert_eq!(mount.read("tools/b/title").unwrap(), "", "{what}");
            mount.read_all("tools").unwrap();
        }
    }
    let long = format!("demo://{}", "x".repeat(2_000));
    let listed = json!([{ "uri": long }, { "uri": "demo://b" }]);
    let mount =
        Mount::<Mcp>::new(server(move |_, _| result(json!({ "resources": listed.clone() }))));
    assert_eq!(mount.list("resources").unwrap(), ["demo:%2F%2Fb"]);
    assert!(mount.partials()[0].2.contains("1 with too long a name"), "{:?}", mount.partials());
}

#[test]
fn contents_of_one_uri_are_told_apart_and_what_cannot_be_read_is_an_error() {
    let contents = json!([
        { "uri": "demo://a/1", "text": "one" },
        { "uri": "demo://a/1", "blob": "/wA=" },
        { "uri": "demo://a/2", "blob": "no base64" },
        { "uri": "demo://a/3" },
    ]);
    let mount = Mount::<Mcp>::new(server(move |method, _| match method {
        "resources/list" => result(json!({ "resources": [{ "uri": "demo://a", "name": "a" }] })),
        _ => result(json!({ "contents": contents.clone() })),
    }));
    let at = "resources/demo:%2F%2Fa";
    assert_eq!(mount.read(&format!("{at}/content")).unwrap(), "one");
    let names = ["1", "1@2", "2", "3"].map(|end| format!("demo:%2F%2Fa%2F{end}"));
    assert_eq!(mount.list(&format!("{at}/contents")).unwrap(), names);
    let read = |name: &str| mount.read_bytes(&format!("{at}/contents/{name}"));
    assert_eq!(read(&names[0]).unwrap(), b"one");
    assert_eq!(read(&names[1]).unwrap(), [0xff, 0]);
    assert!(matches!(read(&names[2]), Err(Error::Invalid(_))));
    assert!(matches!(read(&names[3]), Err(Error::Invalid(_))));
}

#[test]
fn no_error_but_that_of_a_missing_resource_is_a_missing_file() {
    let failing = |code: i64| Mount::<Mcp>::new(server(move |_, _| error(code)));
    for code in [-32700, -32600, -32602, -32603, -32000, -32001, -32002, 1] {
        let mount = failing(code);
        for directory in ["resources", "templates", "prompts", "tools"] {
            let error = mount.list(directory).unwrap_err();
            assert!(
                matches!(error, Error::Invalid(_) | Error::Unavailable(_)),
                "{code}: {error:?}"
            );
        }
    }
    // A server that offers none of a kind does not know how to list it.
    let none = failing(-32601);
    assert_eq!(none.list("resources").unwrap(), [""; 0]);
    assert_eq!(none.list("tools").unwrap(), [""; 0]);
    let missing = |code: i64| {
        let mount = Mount::<Mcp>::new(server(move |method, _| match method {
            "resources/list" => result(json!({ "resources": [{ "uri": "demo://a" }] })),
            _ => error(code),
        }));
        let listed = mount.read("resources/demo:%2F%2Fa/content").unwrap_err();
        (listed, mount.list("resources/demo:%2F%2Fb").unwrap_err())
    };
    assert!(matches!(missing(-32002), (Error::NotFound, Error::NotFound)));
    for code in [-32601, -32602, -32000] {
        assert!(matches!(missing(code), (Error::Invalid(_), Error::Invalid(_))), "{code}");
    }
    assert!(matches!(missing(-32603), (Error::Unavailable(_), Error::Unavailable(_))));
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let answering = |status: u16, media: &'static str, body: &'static str| {
        let upstream = Recorded::new()
            .otherwise(move |_, _, _| -> Said { (status, kind(media), body.into()) });
        Mount::<Mcp>::new(upstream).list("tools").unwrap_err()
    };
    let (json, stream) = ("application/json", "text/event-stream");
    for (status, media, body) in [
        (200, json, r#"{"jsonrpc":"2.0","id":"another","result":{"tools":[]}}"#),
        (200, json, r#"{"jsonrpc":"2.0","result":{"tools":[]}}"#),
        (200, json, r#"{"jsonrpc":"2.0"}"#),
        (200, json, "[]"),
        (200, "text/html", "<html>"),
        (200, stream, ""),
        (200, stream, "data: {\"id\":\"another\",\"result\":{\"tools\":[]}}\n\n"),
        (200, stream, ": keepalive\n\nevent: message\ndata: \n\n"),
        (404, "text/html", "<html>"),
        (404, json, r#"{"error":{"code":-32001,"message":"Session not found"}}"#),
        (405, json, ""),
        (410, json, ""),
        (400, json, "{}"),
        (202, json, ""),
    ] {
        let error = answering(status, media, body);
        assert!(matches!(error, Error::Invalid(_)), "{status} {body}: {error:?}");
    }
    assert!(matches!(answering(401, json, "{}"), Error::Denied(_)));
    assert!(matches!(answering(403, json, r#"{"error":{"code":-32000}}"#), Error::Denied(_)));
    assert!(matches!(answering(429, json, "{}"), Error::RateLimited(_)));
    assert!(matches!(answering(503, "text/html", ""), Error::Unavailable(_)));
}

#[test]
fn a_session_is_begun_where_the_server_wants_one_and_the_request_made_again() {
    // The host keeps its name; here it counts that there is one.
    let (begun, said) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::new())));
    let (now, noted) = (begun.clone(), said.clone());
    let upstream = Recorded::new().otherwise(move |_, headers, body| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let method = asked["method"].as_str().unwrap().to_owned();
        let version = headers.iter().find(|(name, _)| *name == "mcp-protocol-version");
        let version = version.map(|(_, version)| (*version).to_owned());
        noted.borrow_mut().push((method.clone(), version));
        let answer = match &*method {
            "notifications/initialized" => return (202, Vec::new(), Vec::new()),
            "initialize" => {
                now.set(true);
                json!({ "protocolVersion": "2025-03-26" })
            }
            _ if !now.get() => {
                let error =
                    r#"{"error":{"code":-32000,"message":"No valid session ID"},"id":null}"#;
                return (400, kind("application/json"), error.into());
            }
            _ => json!({ "tools": [{ "name": "a" }] }),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer });
        (200, kind("application/json; charset=utf-8"), answer.to_string().into_bytes())
    });
    let mount = Mount::<Mcp>::new(upstream);
    let says = |expected: &[(&str, Option<&str>)]| {
        let said: Vec<_> = said.borrow_mut().drain(..).collect();
        let said: Vec<_> = said.iter().map(|(m, v)| (m.as_str(), v.as_deref())).collect();
        assert_eq!(said, expected);
    };
    assert_eq!(mount.list("tools").unwrap(), ["a"]);
    let (ours, theirs) = (Some("2025-06-18"), Some("2025-03-26"));
    let beginning = [
        ("tools/list", ours),
        ("initialize", None),
        ("notifications/initialized", theirs),
        ("tools/list", theirs),
    ];
    says(&beginning);
    assert_eq!(mount.list("tools").unwrap(), ["a"]);
    says(&[("tools/list", ours)]);
    begun.set(false);
    assert_eq!(mount.list("tools").unwrap(), ["a"]);
    says(&beginning);
}

#[test]
fn the_setting_says_where_below_the_endpoint_the_server_is() {
    let at = |path: &str| {
        let upstream = Recorded::new().setting("path", path).otherwise(|_, _, body| {
            let asked: Value = serde_json::from_slice(body).unwrap();
            let answer = json!({ "id": asked["id"], "result": { "tools": [] } });
            (200, kind("application/json"), answer.to_string().into_bytes())
        });
        let mount = Mount::<Mcp>::new(upstream);
        mount.list("tools").map(|_| mount.requests().remove(0))
    };
    assert_eq!(at("").unwrap(), "POST /");
    assert_eq!(at("/").unwrap(), "POST /");
    assert_eq!(at("rpc").unwrap(), "POST /rpc");
    assert_eq!(at("/v1/servers/a b").unwrap(), "POST /v1/servers/a%20b");
    for wrong in ["a//b", "../x", "a/", "a/./b"] {
        assert!(matches!(at(wrong), Err(Error::Invalid(_))), "{wrong}");
    }
}
