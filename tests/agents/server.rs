//! A server of the Model Context Protocol that others wrote: an npm package, fetched once into the target directory,
//! which speaks JSON-RPC on its standard streams. A hook on its `fetch` sends all that it asks to a twin.

use omnifs_support::{npm, tied};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub const PACKAGE: &str = "@modelcontextprotocol/server-github";
pub const VERSION: &str = "2025.4.8";
/// What it leaves open and what makes its answers: these write its list of tools and drop members of answers.
const BESIDE: [&str; 2] = ["zod@3.25.76", "zod-to-json-schema@3.25.2"];

/// For an answer.
const ANSWER: Duration = Duration::from_secs(120);

/// The running server.
pub struct Server {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// The number of the last request.
    last: u64,
}

impl Server {
    /// # Errors
    /// Why it cannot be had here.
    pub fn start(twin: &str) -> Result<Server, String> {
        let node = npm::node()?;
        let start = npm::package(PACKAGE, VERSION, &BESIDE)?.join(PACKAGE).join("dist/index.js");
        let hook = format!(
            "const ask = globalThis.fetch;\
             globalThis.fetch = (to, how) => {{ const {{ pathname, search }} = new URL(to);\
             return ask({} + pathname + search, how); }};",
            json!(twin)
        );
        let mut command = Command::new(node);
        command.arg("--import").arg(npm::import(&hook)).arg(start);
        for name in ["NODE_OPTIONS", "GITHUB_PERSONAL_ACCESS_TOKEN"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = tied::spawn(command).map_err(|error| format!("node: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or("node has no streams")?;
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Server { child, input, lines, last: 0 };
        let client = json!({ "name": "bench", "version": "1" });
        server.ask(
            "initialize",
            json!({ "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": client }),
        );
        server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        Ok(server)
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("the server reads");
    }

    /// The result of a request. Panics where it is an error.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let line = self.lines.recv_timeout(ANSWER).expect("an answer");
            let answer: Value = serde_json::from_str(&line).expect("JSON");
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The list of its tools, as a client reads it.
    pub fn tools(&mut self) -> String {
        self.ask("tools/list", json!({}))["tools"].to_string()
    }

    /// What a tool says, as text.
    pub fn call(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        let content = result["content"].as_array().cloned().unwrap_or_default();
        content.iter().filter_map(|part| part["text"].as_str()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        tied::stop(&mut self.child, Duration::from_secs(5));
    }
}
