//! What tests do with an engine, through its HTTP API: the command line client need not be there.

use super::{CALL, IMAGE};
use crate::http;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A container to make. `..Container::default()` sleeps for an hour.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    pub name: &'a str,
    pub image: &'a str,
    /// Empty for the image's own.
    pub command: &'a [&'a str],
    pub labels: &'a [(&'a str, &'a str)],
    pub environment: &'a [&'a str],
    /// Volume name or host path, and where it shows: `data:/data`.
    pub binds: &'a [&'a str],
    /// `80/tcp`.
    pub exposed_ports: &'a [&'a str],
    /// A shell line; the engine runs it each second and keeps its verdict as the health.
    pub health: Option<&'a str>,
    /// With a terminal the engine keeps one raw log stream instead of framed stdout and stderr.
    pub terminal: bool,
    /// `no`, `always`, `on-failure`, or `on-failure:2` for two restarts at most.
    pub restart: &'a str,
    /// `none`, `json-file`; empty for the engine's own choice. Its options: `max-size=20k`.
    pub log_driver: &'a str,
    pub log_options: &'a [(&'a str, &'a str)],
    /// A number, or empty for root.
    pub user: &'a str,
    /// `none`, or `host` for the network of this machine.
    pub network: &'a str,
    /// Without a capability, and without a place to write but what is bound.
    pub confined: bool,
    /// With what mounting by FUSE needs. All that a privileged one has may be more than this machine has itself.
    pub may_mount: bool,
    /// Sent by `stop`. A shell as first process ignores SIGTERM unless it traps it.
    pub stop_signal: &'a str,
}

impl Default for Container<'_> {
    fn default() -> Self {
        Container {
            name: "test",
            image: IMAGE,
            command: &["sleep", "3600"],
            labels: &[],
            environment: &[],
            binds: &[],
            exposed_ports: &[],
            health: None,
            terminal: false,
            restart: "no",
            log_driver: "",
            log_options: &[],
            user: "",
            network: "none",
            confined: false,
            may_mount: false,
            stop_signal: "SIGKILL",
        }
    }
}

impl Container<'_> {
    fn body(&self) -> Value {
        let second = 1_000_000_000_u64;
        let keys = |names: &[&str]| -> Map<String, Value> {
            names.iter().map(|name| ((*name).to_owned(), json!({}))).collect()
        };
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let (restart, most) = self.restart.split_once(':').unwrap_or((self.restart, "0"));
        let most: u32 = most.parse().unwrap_or(0);
        let mut body = json!({
            "Image": self.image,
            "Cmd": (!self.command.is_empty()).then_some(self.command),
            "Env": self.environment,
            "Labels": labels,
            "ExposedPorts": keys(self.exposed_ports),
            "Tty": self.terminal,
            "User": self.user,
            "StopSignal": self.stop_signal,
            "StopTimeout": 1,
            "HostConfig": {
                "NetworkMode": self.network,
                "Binds": self.binds,
                "RestartPolicy": { "Name": restart, "MaximumRetryCount": most },
            },
        });
        if self.confined {
            body["HostConfig"]["ReadonlyRootfs"] = true.into();
            body["HostConfig"]["CapDrop"] = json!(["ALL"]);
            body["HostConfig"]["SecurityOpt"] = json!(["no-new-privileges"]);
        }
        if self.may_mount {
            let fuse = "/dev/fuse";
            body["HostConfig"]["CapAdd"] = json!(["SYS_ADMIN"]);
            body["HostConfig"]["SecurityOpt"] = json!(["apparmor=unconfined"]);
            body["HostConfig"]["Devices"] = json!([
                { "PathOnHost": fuse, "PathInContainer": fuse, "CgroupPermissions": "rwm" }
            ]);
        }
        if !self.log_driver.is_empty() {
            body["HostConfig"]["LogConfig"] = json!({
                "Type": self.log_driver,
                "Config": Map::from_iter(
                    self.log_options.iter().map(|(key, value)| ((*key).to_owned(), json!(value))),
                ),
            });
        }
        if let Some(line) = self.health {
            body["Healthcheck"] = json!({
                "Test": ["CMD-SHELL", line], "Interval": second, "Timeout": second, "Retries": 1,
            });
        }
        body
    }
}

/// The HTTP API of the engine behind a socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    pub fn new(socket: PathBuf) -> Api {
        Api { socket }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET`; an answer that is not 2xx is an error with the engine's message.
    pub fn get(&self, path: &str) -> io::Result<Value> {
        self.call("GET", path, None)
    }

    /// `POST` with a JSON body.
    pub fn post(&self, path: &str, body: Value) -> io::Result<Value> {
        self.call("POST", path, Some(body))
    }

    /// Any request; an empty answer is `Value::Null`.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> io::Result<Value> {
        let body = body.map(|body| body.to_string());
        let content = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        let answer = http::request(&self.socket, method, path, content, CALL)?;
        // 304: already in the state that was asked for.
        if !(200..300).contains(&answer.status) && answer.status != 304 {
            let message = format!("{method} {path}: {} {}", answer.status, answer.text());
            return Err(io::Error::other(message));
        }
        match answer.body.trim_ascii().is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&answer.body).map_err(io::Error::other),
        }
    }

    /// Imports the image that the containers run, as `docker import` does.
    pub fn import_image(&self) -> io::Result<()> {
        let archive = super::image::archive()?;
        let (name, tag) = IMAGE.split_once(':').unwrap_or((IMAGE, "latest"));
        let path = format!("/images/create?fromSrc=-&repo={name}&tag={tag}");
        let content = Some(("application/x-tar", &archive[..]));
        let answer = http::request(&self.socket, "POST", &path, content, CALL)?;
        // Progress and errors come as JSON lines after a 200.
        match answer.status == 200 && !answer.text().contains("\"error\"") {
            true => Ok(()),
            false => Err(io::Error::other(format!("importing the image: {}", answer.text()))),
        }
    }

    /// Builds an image on the containers' own, as `docker build` does, by BuildKit or by the engine
    /// itself; `tag` may be empty. What it holds is nobody's else, by `label`.
    pub fn build(&self, label: &str, tag: &str, buildkit: bool) -> io::Result<()> {
        let context = super::image::context(&format!("FROM {IMAGE}\nLABEL built={label}\n"))?;
        let version = if buildkit { 2 } else { 1 };
        let tag = if tag.is_empty() { String::new() } else { format!("&t={tag}") };
        self.build_by(&format!("version={version}{tag}"), &context)
    }

    /// Builds the target of the Containerfile in a directory, by the engine itself.
    pub fn build_in(&self, directory: &Path, target: &str, tag: &str) -> io::Result<()> {
        let context = super::image::tar(directory)?;
        self.build_by(
            &format!("version=1&dockerfile=Containerfile&target={target}&t={tag}"),
            &context,
        )
    }

    fn build_by(&self, query: &str, context: &[u8]) -> io::Result<()> {
        let path = format!("/build?{query}");
        let content = Some(("application/x-tar", context));
        let answer = http::request(&self.socket, "POST", &path, content, CALL)?;
        match answer.status == 200 && !answer.text().contains("\"error\"") {
            true => Ok(()),
            false => Err(io::Error::other(format!("building an image: {}", answer.text()))),
        }
    }

    /// Whether the image that the containers run is there.
    pub fn has_image(&self) -> bool {
        self.get(&format!("/images/{IMAGE}/json")).is_ok()
    }

    /// Removes the image of [`Api::import_image`]; it is in use until its containers are gone.
    pub fn remove_image(&self) -> io::Result<()> {
        self.call("DELETE", &format!("/images/{IMAGE}"), None).map(drop)
    }

    /// Makes a container without starting it; its id.
    pub fn create(&self, container: &Container<'_>) -> io::Result<String> {
        let path = format!("/containers/create?name={}", container.name);
        let made = self.post(&path, container.body())?;
        let id = made.get("Id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no id in {made}")))
    }

    /// Makes and starts a container; its id.
    pub fn run(&self, container: &Container<'_>) -> io::Result<String> {
        let id = self.create(container)?;
        self.begin(&id)?;
        Ok(id)
    }

    /// Starts a container that was made or stopped.
    pub fn begin(&self, name: &str) -> io::Result<()> {
        self.call("POST", &format!("/containers/{name}/start"), None).map(drop)
    }

    /// Sends the stop signal, and SIGKILL a second later.
    pub fn stop(&self, name: &str) -> io::Result<()> {
        self.call("POST", &format!("/containers/{name}/stop?t=1"), None).map(drop)
    }

    /// Sends a signal to its first process: `SIGKILL`, as a crash would end it.
    pub fn kill(&self, name: &str, signal: &str) -> io::Result<()> {
        self.call("POST", &format!("/containers/{name}/kill?signal={signal}"), None).map(drop)
    }

    pub fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        self.call("POST", &format!("/containers/{name}/rename?name={new}"), None).map(drop)
    }

    /// Removes a container, running or not, with its anonymous volumes.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.call("DELETE", &format!("/containers/{name}?force=1&v=1"), None).map(drop)
    }

    /// Removes every container, so that tests sharing the engine begin alike.
    pub fn remove_all(&self) -> io::Result<()> {
        for container in self.list()? {
            if let Some(id) = container.get("Id").and_then(Value::as_str) {
                self.remove(id)?;
            }
        }
        Ok(())
    }

    /// What `docker inspect` prints for a container, without the list around it.
    pub fn inspect(&self, name: &str) -> io::Result<Value> {
        self.get(&format!("/containers/{name}/json"))
    }

    /// All containers, as `/containers/json?all=1` has them.
    pub fn list(&self) -> io::Result<Vec<Value>> {
        match self.get("/containers/json?all=1")? {
            Value::Array(containers) => Ok(containers),
            other => Err(io::Error::other(format!("not a list: {other}"))),
        }
    }

    /// Waits for the container's end; its exit code.
    pub fn wait(&self, name: &str) -> io::Result<i64> {
        let ended = self.call("POST", &format!("/containers/{name}/wait"), None)?;
        let code = ended.get("StatusCode").and_then(Value::as_i64);
        code.ok_or_else(|| io::Error::other(format!("no exit code in {ended}")))
    }

    /// The container's standard output and error, the engine's stream frames taken off.
    pub fn logs(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = format!("/containers/{name}/logs?stdout=1&stderr=1");
        let answer = http::request(&self.socket, "GET", &path, None, CALL)?;
        Ok(unframed(&answer.body))
    }

    /// Runs a shell line in a running container; its exit code, and what it has written.
    pub fn exec(&self, name: &str, line: &str) -> io::Result<(i64, String)> {
        let body = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": ["sh", "-c", line] });
        let made = self.post(&format!("/containers/{name}/exec"), body)?;
        let id = made["Id"].as_str().ok_or_else(|| io::Error::other(format!("no id in {made}")))?;
        let path = format!("/exec/{id}/start");
        let content = Some(("application/json", &b"{}"[..]));
        let answer = http::request(&self.socket, "POST", &path, content, CALL)?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("{path}: {} {}", answer.status, answer.text())));
        }
        let written = String::from_utf8_lossy(&unframed(&answer.body)).into_owned();
        let ended = self.get(&format!("/exec/{id}/json"))?;
        let code = ended["ExitCode"].as_i64();
        let code = code.ok_or_else(|| io::Error::other(format!("no exit code in {ended}")))?;
        Ok((code, written))
    }

    pub fn create_volume(&self, name: &str) -> io::Result<()> {
        self.post("/volumes/create", json!({ "Name": name })).map(drop)
    }

    /// A volume of a plugin, with options.
    pub fn create_volume_of(&self, driver: &str, name: &str, options: Value) -> io::Result<Value> {
        let body = json!({ "Name": name, "Driver": driver, "DriverOpts": options });
        self.post("/volumes/create", body)
    }

    pub fn remove_volume(&self, name: &str) -> io::Result<()> {
        self.call("DELETE", &format!("/volumes/{name}"), None).map(drop)
    }

    /// Opens the engine's event stream; what happens after this call is in it.
    pub fn events(&self) -> io::Result<Events> {
        let (status, stream) = http::open(&self.socket, "GET", "/events", None, CALL)?;
        match status {
            200 => Ok(Events { stream, partial: String::new() }),
            other => Err(io::Error::other(format!("/events: {other}"))),
        }
    }
}

/// What was written to standard output and error. A frame: stream number, three zero bytes, length as a big-endian u32,
/// payload.
fn unframed(mut rest: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (payload, next) = tail.split_at(length.min(tail.len()));
        text.extend_from_slice(payload);
        rest = next;
    }
    text
}

/// The engine's event stream.
#[derive(Debug)]
pub struct Events {
    stream: BufReader<UnixStream>,
    /// The begin of a line whose rest has not come.
    partial: String,
}

impl Events {
    /// The next event for which `wanted` holds, within `limit`; others are passed over.
    pub fn find(&mut self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + limit;
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            let timeout = Some(left.max(Duration::from_millis(1)));
            self.stream.get_ref().set_read_timeout(timeout).ok()?;
            if self.stream.read_line(&mut self.partial).ok()? == 0 {
                return None;
            }
            let line = std::mem::take(&mut self.partial);
            let event: Value = serde_json::from_str(&line).ok()?;
            if wanted(&event) {
                return Some(event);
            }
        }
    }
}
