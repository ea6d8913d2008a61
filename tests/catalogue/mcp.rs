//! The provider `mcp` against the protocol's own server for tests, by Server-Sent Events and with sessions, and
//! against a twin that answers by JSON and has none. What is right is what the server answers to `curl`.

mod wire;

use crate::{configure, home};
use omnifs_support::tools::{await_content, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, npm, skip, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use wire::{Tap, Twin};

const PACKAGE: &str = "@modelcontextprotocol/server-everything";
const VERSION: &str = "2026.8.31";
/// What it leaves open and what makes its answers.
const BESIDE: [&str; 2] = ["@modelcontextprotocol/sdk@1.32.2", "zod@4.6.7"];

/// For a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;

/// All that may be said to a server.
const READS: [&str; 8] = [
    "initialize",
    "notifications/initialized",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/list",
];

/// The server, what the mount sends it, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    server: Server,
    tap: Tap,
    /// Its own documents, which are the resources that it lists.
    documents: PathBuf,
}

impl World {
    /// Nothing where no mount can be made, or the server cannot be had, which is said.
    fn new(test: &str) -> Option<World> {
        let omnifs = home(test, &["curl"])?;
        let had = npm::node().and_then(|node| Ok((node, npm::package(PACKAGE, VERSION, &BESIDE)?)));
        let (node, modules) = match had {
            Ok(had) => had,
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        // A copy, whose documents the test may change.
        let served = omnifs.path("served");
        fs::create_dir_all(&served).expect("a folder");
        std::os::unix::fs::symlink(&modules, served.join("node_modules")).expect("a link");
        let package = modules.join(PACKAGE);
        shell(&served, &format!("cp -r '{}' everything", package.display()));
        let start = served.join("everything/dist/index.js").display().to_string();
        let server = Server::start(&node.display().to_string(), &served, |at| {
            [
                "--import".to_owned(),
                npm::import(&hook(at)),
                start.clone(),
                "streamableHttp".to_owned(),
            ]
            .to_vec()
        });
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let tap = Tap::start(server.address());
        configure(&omnifs, &format!("[instances.mcp]\nendpoints.server = '{}'\n", tap.url()));
        Some(World { omnifs, server, tap, documents: served.join("everything/dist/docs") })
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    fn client(&self) -> Client {
        Client::new(format!("{}/mcp", self.server.url()))
    }
}

/// Has the server listen on loopback alone, at this address, and say so. Before version 20, node has what it is
/// written for under another name.
fn hook(at: &str) -> String {
    let port = at.rsplit(':').next().unwrap_or_default();
    format!(
        "import net from 'node:net'; import {{ webcrypto }} from 'node:crypto';\
         globalThis.crypto ??= webcrypto; process.env.PORT = '{port}';\
         const listen = net.Server.prototype.listen;\
         net.Server.prototype.listen = function (port, ...rest) {{\
           this.once('listening', () => console.log('listening on {at}'));\
           return listen.call(this, port, '127.0.0.1', ...rest); }};"
    )
}

/// Asks a server by `curl`, in a session of its own.
struct Client {
    url: String,
    session: String,
}

impl Client {
    fn new(url: String) -> Client {
        let mut client = Client { url, session: String::new() };
        let begin = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" }
            }
        });
        let (head, _) = client.post(&begin);
        let named = |line: &str| Some(line.strip_prefix("mcp-session-id: ")?.trim().to_owned());
        client.session = head.lines().find_map(named).expect("a session");
        client.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    /// The head and the body of the answer.
    fn post(&self, message: &Value) -> (String, String) {
        let session = match &*self.session {
            "" => String::new(),
            name => format!("-H 'mcp-session-id: {name}'"),
        };
        let line = format!(
            "curl -sS -i -g --noproxy '*' -H 'content-type: application/json' {session} \
             -H 'accept: application/json, text/event-stream' -d '{message}' '{}'",
            self.url
        );
        let answer = shell(Path::new("/"), &line).replace('\r', "");
        let (head, body) = answer.split_once("\n\n").unwrap_or((&answer, ""));
        (head.to_owned(), body.to_owned())
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (_, body) = self.post(&asked);
        let data = body.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&body);
        let message = serde_json::from_str(data);
        let mut message: Value = message.unwrap_or_else(|_| panic!("{method}: {body}"));
        assert!(message.get("error").is_none(), "{method}: {message}");
        message["result"].take()
    }

    fn list(&self, method: &str, items: &str) -> Vec<Value> {
        self.ask(method, json!({}))[items].as_array().expect("a list").clone()
    }

    fn text(&self, uri: &str) -> String {
        let read = self.ask("resources/read", json!({ "uri": uri }));
        text(&read["contents"][0], "text").to_owned()
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("mcp").join(path)
}

/// The name of what these URIs are of.
fn escaped(uri: &str) -> String {
    assert!(!uri.contains('%'), "{uri}");
    uri.replace('/', "%2F")
}

fn document(name: &str) -> String {
    format!("resources/demo:%2F%2Fresource%2Fstatic%2Fdocument%2F{name}")
}

/// What is in a directory has these names.
fn same(mounted: &Mounted<'_>, directory: &str, expected: impl Iterator<Item = String>) {
    let mut expected: Vec<String> = expected.collect();
    expected.sort();
    assert!(!expected.is_empty(), "{directory}");
    assert_eq!(list(&place(mounted, directory)).expect("a directory"), expected);
}

fn parsed(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

#[test]
fn what_an_mcp_server_offers_is_what_it_says_itself_and_no_tool_is_called() {
    let Some(world) = World::new("mcp_shown") else { return };
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    // The first request finds out that there has to be a session.
    let tools = list(&at("tools")).expect("a directory");
    assert!(tools.contains(&"echo".to_owned()), "{tools:?}");
    let client = world.client();

    let tools = client.list("tools/list", "tools");
    same(&mounted, "tools", tools.iter().map(|tool| text(tool, "name").to_owned()));
    for tool in &tools {
        let at = at("tools").join(text(tool, "name"));
        assert_eq!(parsed(&at.join("tool.json")), *tool);
        assert_eq!(parsed(&at.join("input-schema.json")), tool["inputSchema"]);
        assert_eq!(read(&at.join("description")), text(tool, "description"));
    }

    let resources = client.list("resources/list", "resources");
    same(&mounted, "resources", resources.iter().map(|one| escaped(text(one, "uri"))));
    for one in &resources {
        let uri = text(one, "uri");
        let at = at("resources").join(escaped(uri));
        assert_eq!(parsed(&at.join("resource.json")), *one);
        assert_eq!(read(&at.join("uri")), format!("{uri}\n"));
        assert_eq!(read(&at.join("mime-type")), format!("{}\n", text(one, "mimeType")));
        let content = client.text(uri);
        assert_eq!(read(&at.join("content")), content);
        assert_eq!(read(&at.join("contents").join(escaped(uri))), content);
    }

    let templates = client.list("resources/templates/list", "resourceTemplates");
    same(&mounted, "templates", templates.iter().map(|one| escaped(text(one, "uriTemplate"))));
    // One of a template, which says when it was made; that of the blob is read out of base64.
    for kind in ["text", "blob"] {
        let at = at(&format!("resources/demo:%2F%2Fresource%2Fdynamic%2F{kind}%2F7/content"));
        assert!(read(&at).starts_with("Resource 7: This is a "), "{}", read(&at));
    }

    let prompts = client.list("prompts/list", "prompts");
    same(&mounted, "prompts", prompts.iter().map(|one| text(one, "name").to_owned()));
    let mut rendered = 0;
    for one in &prompts {
        let name = text(one, "name");
        let at = at("prompts").join(name);
        assert_eq!(parsed(&at.join("prompt.json")), *one);
        let mut arguments = one["arguments"].as_array().into_iter().flatten();
        if arguments.any(|argument| argument["required"] == true) {
            assert_eq!(errno(&at.join("messages.json")), ENOENT);
            continue;
        }
        let messages = client.ask("prompts/get", json!({ "name": name }))["messages"].take();
        assert_eq!(parsed(&at.join("messages.json")), messages);
        assert!(read(&at.join("messages.md")).contains(text(&messages[0]["content"], "text")));
        rendered += 1;
    }
    assert!(rendered > 0);

    // All that a program finds that walks over everything.
    let found = shell(&place(&mounted, ""), "grep -rl . tools prompts templates | wc -l");
    assert!(found.trim().parse::<usize>().expect("a number") > 3 * tools.len(), "{found}");
    let said = world.tap.methods();
    let other = said.iter().find(|method| !READS.contains(&method.as_str()));
    assert_eq!(other, None, "{said:?}");
    assert!(said.len() > 100, "{} requests were seen", said.len());
    let sessions = world.tap.sessions();
    assert!((1..=2).contains(&sessions.len()), "{sessions:?}");
}

#[test]
fn what_tools_look_for_in_any_directory_is_not_asked_for() {
    let Some(world) = World::new("mcp_looked_for") else { return };
    let mounted = world.mount();
    let at = |name: &str| place(&mounted, "resources").join(name);
    for name in [".hidden", "Makefile", "node_modules", "1:x"] {
        assert_eq!(errno(&at(name)), ENOENT, "{name}");
    }
    assert_eq!(world.tap.methods(), [""; 0]);
    // What this server says of a resource that it does not have is of a wrong parameter.
    assert_eq!(errno(&at("demo:%2F%2Fnothing")), EIO);
}

#[test]
fn an_mcp_server_that_is_started_anew_gets_another_session_and_shows_what_it_has_now() {
    let Some(world) = World::new("mcp_restart") else { return };
    let mounted = world.mount();
    let kept = place(&mounted, &document("startup.md")).join("content");
    let whole = read(&kept);
    assert_eq!(whole, read(&world.documents.join("startup.md")));
    // No event tells of it, and the next open shows it.
    fs::write(world.documents.join("startup.md"), "changed\n").expect("a file");
    assert_eq!(read(&kept), "changed\n");

    world.server.stop();
    let gone = place(&mounted, &document("features.md"));
    for path in [&kept, &gone.join("content"), &place(&mounted, "tools/echo/title")] {
        assert_eq!(errno(path), EIO, "{}", path.display());
    }
    for directory in ["resources", "tools", "prompts", "templates"] {
        let error = list(&place(&mounted, directory)).expect_err("nobody answers");
        assert_eq!(error.raw_os_error(), Some(EIO), "{directory}");
    }
    fs::write(world.documents.join("startup.md"), "anew\n").expect("a file");
    fs::write(world.documents.join("added.md"), "added\n").expect("a file");
    fs::remove_file(world.documents.join("features.md")).expect("a file");
    world.server.start_again().expect("the server");
    await_content(&kept, "anew\n", SOON);
    assert_eq!(read(&place(&mounted, &document("added.md")).join("content")), "added\n");
    let names = list(&place(&mounted, "resources")).expect("a directory");
    let shows = |name: &str| names.iter().any(|own| own.ends_with(name));
    assert!(shows("%2Fadded.md") && !shows("%2Ffeatures.md"), "{names:?}");
    assert_eq!(errno(&gone.join("content")), EIO);
    assert!(world.tap.sessions().len() > 1, "{:?}", world.tap.sessions());
}

#[test]
fn contents_that_are_read_at_once_are_not_taken_for_each_other() {
    let Some(world) = World::new("mcp_at_once") else { return };
    let mounted = world.mount();
    let names: Vec<String> = (0..12).map(|number| format!("n{number}.md")).collect();
    for name in &names {
        fs::write(world.documents.join(name), format!("{name}\n")).expect("a file");
    }
    thread::scope(|scope| {
        for turn in 0..24 {
            let name = &names[turn % names.len()];
            let at = place(&mounted, &document(name));
            scope.spawn(move || {
                for _ in 0..4 {
                    assert_eq!(read(&at.join("content")), format!("{name}\n"));
                    assert_eq!(read(&at.join("name")), format!("{name}\n"));
                }
            });
        }
    });
}

/// A home whose mounts reach a server that answers so.
fn twin(
    test: &str,
    answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static,
) -> Option<Omnifs> {
    let omnifs = home(test, &[])?;
    let twin = Twin::start(answer);
    let line = format!("[instances.mcp]\nendpoints.server = '{}'\nsettings.path = ''\n", twin.url);
    configure(&omnifs, &line);
    Some(omnifs)
}

#[test]
fn an_mcp_server_without_sessions_answers_by_json_page_by_page() {
    // 250 tools on pages of 50, and a resource of any bytes.
    let blob: Arc<Mutex<&'static str>> = Arc::new(Mutex::new("AAH/CgoN"));
    let (now, asked) = (blob.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = asked.clone();
    let omnifs = twin("mcp_pages", move |message| {
        seen.lock().expect("not poisoned").push(text(message, "method").to_owned());
        let from = text(&message["params"], "cursor").parse().unwrap_or(0);
        let result = match text(message, "method") {
            "tools/list" => {
                let tools: Vec<Value> =
                    (from..from + 50).map(|n| json!({ "name": format!("tool-{n:03}") })).collect();
                let next = (from < 200).then(|| (from + 50).to_string());
                json!({ "tools": tools, "nextCursor": next })
            }
            "resources/list" => json!({ "resources": [{ "uri": "x:a b%2Fc", "size": 6 }] }),
            "resources/read" => {
                let blob = *now.lock().expect("not poisoned");
                json!({ "contents": [{ "uri": "x:a b%2Fc", "blob": blob }] })
            }
            _ => return (200, json!({ "error": { "code": -32601, "message": "no" } })),
        };
        (200, json!({ "result": result }))
    });
    let Some(omnifs) = omnifs else { return };
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let names: Vec<String> = (0..250).map(|n| format!("tool-{n:03}")).collect();
    assert_eq!(list(&place(&mounted, "tools")).expect("a directory"), names);
    assert_eq!(read(&place(&mounted, "tools/tool-249/description")), "");
    // What it does not offer is empty.
    for none in ["prompts", "templates"] {
        assert_eq!(list(&place(&mounted, none)).expect("a directory"), [""; 0]);
    }
    assert_eq!(list(&place(&mounted, "resources")).expect("a directory"), ["x:a b%252Fc"]);
    let content = place(&mounted, "resources/x:a b%252Fc/content");
    assert_eq!(fs::read(&content).expect("a file"), b"\x00\x01\xff\n\n\r");
    *blob.lock().expect("not poisoned") = "/w==";
    assert_eq!(fs::read(&content).expect("a file"), b"\xff");
    let asked = asked.lock().expect("not poisoned").clone();
    let other = asked.iter().find(|m| matches!(&***m, "initialize" | "tools/call"));
    assert_eq!(other, None, "{asked:?}");
}

#[test]
fn an_error_of_an_mcp_server_is_a_missing_file_only_where_it_says_so() {
    let fault: Arc<Mutex<(u16, i64)>> = Arc::new(Mutex::new((200, 0)));
    let now = fault.clone();
    let omnifs = twin("mcp_errors", move |message| {
        let (status, code) = *now.lock().expect("not poisoned");
        match text(message, "method") {
            "resources/list" => (200, json!({ "result": { "resources": [{ "uri": "x:a" }] } })),
            _ if code == 0 => {
                (200, json!({ "result": { "contents": [{ "uri": "x:a", "text": "a" }] } }))
            }
            _ => (status, json!({ "error": { "code": code, "message": "said\nso" } })),
        }
    });
    let Some(omnifs) = omnifs else { return };
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let listed = place(&mounted, "resources/x:a/content");
    let other = place(&mounted, "resources/x:b");
    assert_eq!(read(&listed), "a");
    for ((status, code), expected) in [
        ((200, -32602), EIO),
        ((200, -32603), EIO),
        ((200, -32601), EIO),
        ((500, -32603), EIO),
        ((404, -32001), EIO),
        ((403, -32000), EACCES),
        ((200, -32002), ENOENT),
    ] {
        *fault.lock().expect("not poisoned") = (status, code);
        assert_eq!(errno(&other.join("content")), expected, "{status} {code}");
        // A name that is listed is there, whatever its content says.
        let error = errno(&listed);
        assert!(error != ENOENT || code == -32002, "{status} {code}: {error}");
        if code != -32002 {
            assert_eq!(error, expected, "{status} {code}");
        }
    }
    *fault.lock().expect("not poisoned") = (200, 0);
    let answers = || fs::read_to_string(&listed).ok().filter(|text| text == "a");
    assert!(wait_until(SOON, answers).is_some(), "it goes on failing");
    assert_eq!(read(&other.join("content")), "a");
    *fault.lock().expect("not poisoned") = (429, -32000);
    assert_eq!(errno(&listed), EAGAIN);
}
