//! From the text of `config.toml` to a [`Config`], with the line of each mistake.

use super::error::{Error, Place, nearest};
use super::keys;
use super::units::{self, Size};
use super::{Backend, Config, EndpointConfig, InstanceConfig, MOST_THREADS, valid_name};
use super::{Fleet, Relay, Share, fleet};
use crate::allow::Allow;
use crate::capability::{Egress, egress};
use crate::events::bus::names::Pattern;
use crate::events::bus::server::is_token;
use crate::names::names_a_secret;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_edit::{Document, Item, TableLike};

/// The file and what is wrong with it, each mistake with its byte offset.
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: RefCell<Vec<(usize, Error)>>,
}

/// One table of the file.
struct Section<'a> {
    reader: &'a Reader<'a>,
    table: &'a dyn TableLike,
    /// Dotted, empty for the top level.
    path: String,
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Config, Vec<Error>> {
    let reader = Reader { file, text, mistakes: RefCell::default() };
    let document = Document::parse(text).map_err(|error| {
        let place = reader.place(error.span().map_or(0, |span| span.start));
        // The error's own display quotes the line, which may hold a secret.
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        vec![Error::Syntax { place, message }]
    })?;
    let top = Section { reader: &reader, table: document.as_table(), path: String::new() };
    let mut config = top.config();
    config.file = Some(file.to_owned());

    let mut mistakes = reader.mistakes.into_inner();
    if mistakes.is_empty() {
        return Ok(config);
    }
    mistakes.sort_by_key(|(at, _)| *at);
    Err(mistakes.into_iter().map(|(_, error)| error).collect())
}

impl Reader<'_> {
    fn place(&self, at: usize) -> Place {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Place { file: self.file.into(), line }
    }
}

impl<'a> Section<'a> {
    fn mistake(&self, key: &str, error: impl FnOnce(Place) -> Error) {
        let key_span = || self.table.key(key).and_then(|k| k.span());
        let item_span = || self.table.get(key).and_then(Item::span);
        let at = key_span().or_else(item_span).map_or(0, |span: Range<usize>| span.start);
        self.reader.mistakes.borrow_mut().push((at, error(self.reader.place(at))));
    }

    /// The key with its section, for messages.
    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn title(&self) -> String {
        if self.path.is_empty() { "the file".into() } else { format!("[{}]", self.path) }
    }

    /// Notes every key that is not one of these.
    fn only(&self, known: &'static [&'static str]) {
        for (key, _) in self.table.iter().filter(|(key, _)| !known.contains(key)) {
            self.mistake(key, |place| {
                let nearest = nearest(key, known.iter().copied());
                let table = self.table.get(key).is_some_and(Item::is_table_like);
                let instead =
                    keys::in_place_of(key, &self.title(), known, table, nearest.as_deref());
                if nearest.is_none() && names_a_secret(key) {
                    return Error::Secret { place, key: self.full(key) };
                }
                Error::UnknownKey {
                    place,
                    key: key.to_owned(),
                    section: self.title().into(),
                    nearest,
                    instead: instead.map(Into::into),
                    known,
                }
            });
        }
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Item) -> Option<T>,
    ) -> Option<T> {
        let item = self.table.get(key)?;
        // Before anything is made of it that would repeat it in a message.
        if item.as_str().is_some_and(is_a_secret) {
            self.mistake(key, |place| Error::Secret { place, key: self.full(key) });
            return None;
        }
        let value = read(item);
        if value.is_none() {
            let found = match item.type_name() {
                "boolean" => "true or false",
                "string" => "a string",
                "integer" => "an integer",
                "array" | "array of tables" => "an array",
                "table" | "inline table" => "a table",
                other => other,
            };
            self.mistake(key, |place| Error::Type { place, key: self.full(key), expected, found });
        }
        value
    }

    fn check<T>(&self, key: &str, value: Result<T, String>) -> Option<T> {
        value
            .map_err(|problem| {
                self.mistake(key, |place| Error::Value { place, key: self.full(key), problem });
            })
            .ok()
    }

    fn string(&self, key: &str) -> Option<&'a str> {
        self.get(key, "a string", Item::as_str)
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key, "true or false", Item::as_bool)
    }

    fn count(&self, key: &str) -> Option<u64> {
        self.get(key, "a whole number", |item| u64::try_from(item.as_integer()?).ok())
    }

    fn size(&self, key: &str) -> Option<Size> {
        let written =
            self.get(key, "a size such as \"512MiB\"", |item| match item.as_integer() {
                Some(bytes) => {
                    Some(u64::try_from(bytes).map_err(|_| "is negative".into()).and_then(Size::new))
                }
                None => item.as_str().map(str::parse),
            })?;
        self.check(key, written)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.get(key, "a duration such as \"30s\"", Item::as_str)?;
        self.check(key, units::duration(text))
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.string(key)?;
        // Relative to the file that names it: a mount runs in another directory.
        let base = self.reader.file.parent().unwrap_or(Path::new(""));
        let path = match text.strip_prefix("~/") {
            Some(rest) => match std::env::home_dir() {
                Some(home) => home.join(rest),
                None => return self.check(key, Err("there is no home directory for '~'".into())),
            },
            None => base.join(text),
        };
        Some(path)
    }

    fn section(&self, key: &str) -> Option<Section<'a>> {
        let table = self.get(key, "a table", Item::as_table_like)?;
        Some(Section { reader: self.reader, table, path: self.full(key) })
    }

    fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.table.iter().map(|(key, _)| key)
    }

    fn strings(&self, key: &str) -> Vec<String> {
        let list = self.get(key, "a list of strings", |item| {
            let strings = item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned));
            strings.collect::<Option<Vec<_>>>()
        });
        let list = list.unwrap_or_default();
        if list.iter().any(|text| is_a_secret(text)) {
            self.mistake(key, |place| Error::Secret { place, key: self.full(key) });
            return Vec::new();
        }
        list
    }

    /// The same, of which there has to be one where the key is there.
    fn some_strings(&self, key: &str) -> Vec<String> {
        if self.table.get(key).and_then(Item::as_array).is_some_and(|list| list.is_empty()) {
            self.check::<()>(key, Err("is empty: name at least one".to_owned()));
        }
        self.strings(key)
    }

    fn base_url(&self, key: &str) -> Option<String> {
        let url = self.string(key)?;
        self.check(key, base_url(url).map(|()| url.to_owned()))
    }

    fn endpoints(&self) -> BTreeMap<String, EndpointConfig> {
        let Some(section) = self.section("endpoints") else { return BTreeMap::new() };
        let mut endpoints = BTreeMap::new();
        for name in section.keys() {
            let mut endpoint = EndpointConfig::default();
            if section.table.get(name).is_some_and(Item::is_table_like) {
                let Some(table) = section.section(name) else { continue };
                table.only(keys::ENDPOINT);
                endpoint.url = table.base_url("url");
                endpoint.redirect_hosts = table.strings("redirect-hosts");
                endpoint.token_hosts = table.strings("token-hosts");
                endpoint.ca_file = table.path("ca-file");
            } else {
                endpoint.url = section.base_url(name);
            }
            endpoints.insert(name.to_owned(), endpoint);
        }
        endpoints
    }

    fn egress(&self) -> Option<Egress> {
        self.only(keys::NETWORK);
        let except = self.strings("no-proxy");
        let Some(text) = self.string("proxy") else {
            let rule = || "it belongs to a proxy".to_owned();
            self.check("no-proxy", except.is_empty().then_some(()).ok_or_else(rule));
            return None;
        };
        if text == "environment" {
            let rule = || "with proxy = \"environment\" it is NO_PROXY that counts".to_owned();
            self.check("no-proxy", except.is_empty().then_some(()).ok_or_else(rule));
            return Some(Egress::Environment);
        }
        let url = egress::parse(text).and_then(|url| match url.password() {
            // As no other secret may.
            Some(_) => {
                Err("a password is not for this file; use HTTPS_PROXY and proxy = \"environment\""
                    .to_owned())
            }
            None => Ok(text.to_owned()),
        });
        self.check("proxy", url).map(|url| Egress::Proxy { url, except })
    }

    fn config(&self) -> Config {
        self.only(keys::FILE);
        let mut config = Config::default();
        fn put<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        if let Some(cache) = self.section("cache") {
            cache.only(keys::CACHE);
            let nodes = cache.count("nodes");
            let nodes = nodes.and_then(|n| cache.check("nodes", units::check_nodes(n).map(|()| n)));
            put(&mut config.cache.nodes, nodes);
            let bytes = cache.size("bytes");
            let bytes = bytes.and_then(|b| cache.check("bytes", units::check_bytes(b).map(|()| b)));
            put(&mut config.cache.bytes, bytes.map(|b| b.0));
            let disk = cache.size("disk");
            let disk = disk.and_then(|b| cache.check("disk", units::check_disk(b).map(|()| b)));
            put(&mut config.cache.disk, disk.map(|b| b.0));
        }
        if let Some(limits) = self.section("limits") {
            limits.only(keys::LIMITS);
            let memory = limits.size("guest-memory").and_then(|size| {
                let fits = (1 << 20..=1 << 30).contains(&size.0);
                let rule = || "a component has 1MiB to 1GiB of memory".to_owned();
                limits.check("guest-memory", fits.then_some(size.0).ok_or_else(rule))
            });
            put(&mut config.limits.guest_memory, memory);
            put(&mut config.limits.call_time, limits.duration("call-time"));
            put(&mut config.limits.request_time, limits.duration("request-time"));
            let content = limits.size("content-size").and_then(|size| {
                let fits = (1 << 20..=1 << 30).contains(&size.0);
                let rule = || "a content that is held whole has at most 1MiB to 1GiB".to_owned();
                limits.check("content-size", fits.then_some(size.0).ok_or_else(rule))
            });
            put(&mut config.limits.content_size, content);
        }
        if let Some(network) = self.section("network") {
            put(&mut config.egress, network.egress());
        }
        if let Some(section) = self.section("fleet") {
            config.fleet = self.fleet(&section);
        }
        if let Some(section) = self.section("relay") {
            let rule = || "it belongs to a fleet: write [fleet] too".to_owned();
            let has_fleet = self.table.contains_key("fleet").then_some(()).ok_or_else(rule);
            config.relay = self.check("relay", has_fleet).and_then(|()| self.relay(&section));
        }
        if let Some(mount) = self.section("mount") {
            mount.only(keys::MOUNT);
            let backend = mount.string("backend").map(str::parse::<Backend>);
            put(&mut config.mount.backend, backend.and_then(|b| mount.check("backend", b)));
            put(&mut config.mount.allow_other, mount.boolean("allow-other"));
            put(&mut config.mount.exec, mount.boolean("exec"));
            let threads = mount.count("threads").and_then(|n| {
                let fits = (1..=MOST_THREADS as u64).contains(&n);
                let rule = || format!("give 1 to {MOST_THREADS} threads");
                mount.check("threads", fits.then_some(n as usize).ok_or_else(rule))
            });
            put(&mut config.mount.threads, threads);
            put(&mut config.mount.stale_if_error, mount.boolean("stale-if-error"));
            put(&mut config.mount.watch_events, mount.boolean("watch-events"));
            put(&mut config.mount.keeper, mount.boolean("keeper"));
            let listen = mount.string("webhook-listen").and_then(|text| {
                let rule = |_| "is not an address; write for example 127.0.0.1:8787".to_owned();
                mount.check("webhook-listen", text.parse::<SocketAddr>().map_err(rule))
            });
            put(&mut config.mount.webhook_listen, listen.map(Some));
            let metrics = mount
                .string("metrics-listen")
                .and_then(|text| mount.check("metrics-listen", super::loopback(text)));
            put(&mut config.mount.metrics_listen, metrics.map(Some));
            let url = mount
                .string("webhook-url")
                .and_then(|url| mount.check("webhook-url", public_url(url).map(|()| url)));
            put(&mut config.mount.webhook_url, url.map(|url| Some(url.to_owned())));
        }
        if let Some(instances) = self.section("instances") {
            for name in instances.keys() {
                if !valid_name(name) {
                    instances.check::<()>(name, Err(super::error::NAME_RULE.into()));
                } else if let Some(section) = instances.section(name) {
                    config.written.insert(name.to_owned(), section.instance());
                }
            }
        }
        config
    }

    fn fleet(&self, fleet: &Section<'a>) -> Option<Fleet> {
        fleet.only(keys::FLEET);
        let missing = |key: &str, what: &str| {
            if !fleet.table.contains_key(key) {
                self.check::<()>("fleet", Err(format!("lacks {key}: {what}")));
            }
        };
        missing("url", "where the bus is");
        missing("relays", "the public keys of the relays that are believed");
        missing("scopes", "of which scopes of which instances the relays tell");
        let url = fleet.string("url");
        let url = url.and_then(|url| fleet.check("url", fleet::bus_url(url).map(|()| url)));
        let domain = fleet.string("domain").and_then(|domain| {
            let rule = || "has letters, digits, _ and - alone".to_owned();
            let named = is_token(domain).then(|| domain.to_owned());
            fleet.check("domain", named.ok_or_else(rule))
        });
        let relays = fleet.some_strings("relays");
        let relays = relays.iter().map(|key| key.parse()).collect::<Result<Vec<_>, String>>();
        let relays = fleet.check("relays", relays).unwrap_or_default();
        let mut scopes = BTreeMap::new();
        if let Some(section) = fleet.section("scopes") {
            if section.keys().next().is_none() {
                let problem = "is empty: name the scopes of at least one instance".to_owned();
                fleet.check::<()>("scopes", Err(problem));
            }
            for name in section.keys() {
                let patterns = section.some_strings(name);
                let patterns = patterns.iter().map(|pattern| Pattern::new(pattern));
                let patterns = section.check(name, patterns.collect::<Result<Vec<_>, _>>());
                scopes.extend(patterns.map(|patterns| (name.to_owned(), patterns)));
            }
        }
        let share = match (fleet.string("share"), fleet.path("share-key-file")) {
            (None | Some("off"), None) => None,
            (Some("credential"), None) => Some(Share::Credential),
            (None, Some(file)) => Some(Share::KeyFile(file)),
            (Some("off" | "credential"), Some(_)) => {
                let problem = "stands beside share-key-file, which says it: write one of them";
                fleet.check("share", Err(problem.to_owned()))
            }
            (Some(_), _) => fleet.check("share", Err("write \"credential\" or \"off\"".to_owned())),
        };
        Some(Fleet {
            url: url?.to_owned(),
            share,
            domain,
            credentials_file: fleet.path("credentials-file"),
            relays,
            scopes,
        })
    }

    fn relay(&self, relay: &Section<'a>) -> Option<Relay> {
        relay.only(keys::RELAY);
        if !relay.table.contains_key("key-file") {
            let problem = "lacks key-file: `omnifs relay key FILE` makes one".to_owned();
            self.check::<()>("relay", Err(problem));
        }
        Some(Relay {
            key_file: relay.path("key-file")?,
            credentials_file: relay.path("credentials-file"),
        })
    }

    fn instance(&self) -> InstanceConfig {
        self.only(keys::INSTANCE);
        let mut files = BTreeMap::new();
        if let Some(section) = self.section("credential-files") {
            for name in section.keys() {
                files.extend(section.path(name).map(|path| (name.to_owned(), path)));
            }
        }
        let digest = |key| {
            let text = self.string(key)?;
            let hex = text.strip_prefix("sha256:").unwrap_or_default();
            let good = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let rule =
                || "is not of the form sha256:HEX; `omnifs providers add` records it".to_owned();
            self.check(key, good.then(|| text.to_ascii_lowercase()).ok_or_else(rule))
        };
        let (grant, asks) = (digest("grant"), digest("asks"));
        InstanceConfig {
            provider: self.string("provider").map(str::to_owned),
            enabled: self.boolean("enabled"),
            endpoints: self.endpoints(),
            credential_file: self.path("credential-file"),
            credential_files: files,
            client_id: self.string("client-id").map(str::to_owned),
            webhook_secret_file: self.path("webhook-secret-file"),
            allow: self.allow(),
            settings: self.settings(),
            grant,
            asks,
        }
    }

    /// An empty list is one too, and allows nothing.
    fn allow(&self) -> Option<Allow> {
        self.table.get("allow")?;
        self.check("allow", Allow::new(self.strings("allow")))
    }

    /// Settings are strings to a provider; a number or a boolean may be written as such.
    fn settings(&self) -> BTreeMap<String, String> {
        let Some(section) = self.section("settings") else { return BTreeMap::new() };
        let mut settings = BTreeMap::new();
        for name in section.keys() {
            if names_a_secret(name) {
                section.mistake(name, |place| Error::Secret { place, key: section.full(name) });
                continue;
            }
            let plain = section.table.get(name).and_then(|item| {
                let number = item.as_integer().map(|n| n.to_string());
                number.or_else(|| item.as_bool().map(|b| b.to_string()))
            });
            let value = plain.or_else(|| section.string(name).map(str::to_owned));
            settings.extend(value.map(|value| (name.to_owned(), value)));
        }
        settings
    }
}

/// An endpoint's base URL: what it may be is the capability's to judge, its form is checked here.
fn base_url(url: &str) -> Result<(), String> {
    // The parser's errors do not repeat the input, which may hold a password.
    let parsed = url::Url::parse(url).map_err(|error| format!("is not a URL ({error})"))?;
    match parsed.scheme() {
        "https" | "http" | "tcp" if parsed.host().is_some() => {}
        "unix" | "npipe" | "sqlite"
            if parsed.path().len() > 1 && parsed.host_str().is_none_or(str::is_empty) => {}
        "postgres" | "postgresql" if parsed.path().len() > 1 => {}
        _ => return Err("write https://HOST, http://127.0.0.1:PORT or unix:///PATH".into()),
    }
    // A database's says where its socket is.
    let may_ask = parsed.scheme().starts_with("postgres");
    if parsed.query().is_some() && !may_ask || parsed.fragment().is_some() {
        return Err("a base URL has no query and no fragment".into());
    }
    Ok(())
}

/// Where a service is to deliver.
fn public_url(url: &str) -> Result<(), String> {
    // Of its errors none repeats the input.
    base_url(url)?;
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(()),
        false => Err("write https://HOST[/PREFIX]".into()),
    }
}

/// A PEM text, a URL with a password, or what has the form that services give to their tokens, so that
/// they can be told from anything else: `WORD_...`, and after the last `_` many letters and digits.
fn is_a_secret(value: &str) -> bool {
    /// An id that is made the same way is shorter.
    const RANDOM: usize = 30;
    let tail = value.rsplit('_').next().unwrap_or_default();
    let word = value.split('_').next().unwrap_or_default();
    let is_token = word.len() < value.len()
        && (2..=8).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_lowercase())
        && tail.len() >= RANDOM
        && tail.bytes().all(|b| b.is_ascii_alphanumeric())
        && tail.bytes().any(|b| b.is_ascii_digit())
        && tail.bytes().any(|b| b.is_ascii_alphabetic());
    is_token
        || value.starts_with("-----BEGIN")
        || value.starts_with("Bearer ")
        || url::Url::parse(value).is_ok_and(|url| {
            url.password().is_some() || (url.has_authority() && !url.username().is_empty())
        })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
