//! A server of the Model Context Protocol that others wrote: an npm package, fetched once into the target directory,
//! which speaks JSON-RPC on its standard streams. A hook on its `fetch` sends all that it asks to a twin.

use omnifs_support::{program, target_directory, tied};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub const PACKAGE: &str = "@modelcontextprotocol/server-github";
pub const VERSION: &str = "2025.4.8";
/// What it leaves open and what makes its answers: these write its list of tools and drop members of answers.
const BESIDE: [&str; 2] = ["zod@3.25.76", "zod-to-json-schema@3.25.2"];

/// For npm to fetch, and for an answer.
const FETCH: Duration = Duration::from_secs(300);
const ANSWER: Duration = Duration::from_secs(120);

/// The package's program, fetched through npm where it is not there yet.
fn fetched() -> Result<PathBuf, String> {
    let target = target_directory().ok_or("this test has no target directory")?;
    let folder = target.join(format!("mcp-server-github-{VERSION}"));
    let start = folder.join(format!("node_modules/{PACKAGE}/dist/index.js"));
    if start.exists() {
        return Ok(start);
    }
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    // A folder of this process's own: the last step is a rename.
    let work = folder.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&work).map_err(told)?;
    let log = work.join("npm.log");
    let output = std::fs::File::create(&log).map_err(told)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]);
    npm.args(["--fetch-timeout=60000", "--fetch-retries=1", "--prefix"]).arg(&work);
    npm.arg(format!("{PACKAGE}@{VERSION}")).args(BESIDE).current_dir(&work);
    npm.stdin(Stdio::null()).stdout(output.try_clone().map_err(told)?).stderr(output);
    let ended = tied::spawn(npm)
        .map_err(|error| format!("npm cannot be run ({error}): apt-get install npm"))
        .map(|mut child| {
            let ended = tied::wait(&mut child, FETCH);
            if ended.is_none() {
                tied::stop(&mut child, Duration::from_secs(5));
            }
            ended
        });
    let fetched = ended.and_then(|ended| match ended {
        Some(status) if status.success() => Ok(()),
        _ => {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            Err(format!("npm install {PACKAGE}@{VERSION} failed: {}", said.trim()))
        }
    });
    let moved = fetched.and_then(|()| match std::fs::rename(&work, &folder) {
        // Another run was quicker.
        Err(_) if start.exists() => Ok(()),
        moved => moved.map_err(told),
    });
    let _ = std::fs::remove_dir_all(&work);
    moved.map(|()| start)
}

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
        let node = program("node").ok_or("there is no node: apt-get install nodejs")?;
        // Older than 18.18, it knows no such option.
        let mut imports = Command::new(&node);
        imports.args(["--import", "data:text/javascript,", "--eval", ""]);
        let imports = imports.output().map_err(|error| format!("node: {error}"))?;
        if !imports.status.success() {
            let said = String::from_utf8_lossy(&imports.stderr);
            return Err(format!("this node is too old, 18.18 will do: {}", said.trim()));
        }
        let start = fetched()?;
        let hook = format!(
            "const ask = globalThis.fetch;\
             globalThis.fetch = (to, how) => {{ const {{ pathname, search }} = new URL(to);\
             return ask({} + pathname + search, how); }};",
            json!(twin)
        );
        let mut command = Command::new(node);
        command.arg("--import").arg(format!("data:text/javascript,{}", encoded(&hook))).arg(start);
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

/// Percent-encoded, for a `data:` address.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
