//! The effective configuration as a file that would be read back as the same.

use super::units::Size;
use super::{Config, EndpointConfig, InstanceConfig, Share};
use crate::capability::Egress;
use std::fmt::{self, Display, Write as _};
use std::path::Path;
use std::time::Duration;

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "[cache]\nnodes = {}\nbytes = \"{}\"",
            self.cache.nodes,
            size(self.cache.bytes)
        )?;
        if self.cache.disk > 0 {
            writeln!(f, "disk = \"{}\"", size(self.cache.disk))?;
        }
        writeln!(f)?;
        let limits = &self.limits;
        writeln!(f, "[limits]\nguest-memory = \"{}\"", size(limits.guest_memory))?;
        writeln!(f, "call-time = \"{}\"", span(limits.call_time))?;
        writeln!(f, "request-time = \"{}\"", span(limits.request_time))?;
        writeln!(f, "content-size = \"{}\"\n", size(limits.content_size))?;
        let mount = &self.mount;
        writeln!(f, "[mount]\nbackend = \"{}\"", mount.backend.name())?;
        writeln!(f, "allow-other = {}\nexec = {}", mount.allow_other, mount.exec)?;
        writeln!(f, "threads = {}", mount.threads)?;
        writeln!(f, "stale-if-error = {}", mount.stale_if_error)?;
        writeln!(f, "watch-events = {}", mount.watch_events)?;
        writeln!(f, "keeper = {}", mount.keeper)?;
        if let Some(address) = mount.webhook_listen {
            writeln!(f, "webhook-listen = \"{address}\"")?;
        }
        if let Some(url) = &mount.webhook_url {
            writeln!(f, "webhook-url = {}", quoted(url))?;
        }
        if let Some(address) = mount.metrics_listen {
            writeln!(f, "metrics-listen = \"{address}\"")?;
        }
        match &self.egress {
            Egress::Direct => {}
            Egress::Environment => writeln!(f, "\n[network]\nproxy = \"environment\"")?,
            Egress::Proxy { url, except } => {
                let except: Vec<_> = except.iter().map(|host| quoted(host)).collect();
                writeln!(f, "\n[network]\nproxy = {}", quoted(url))?;
                writeln!(f, "no-proxy = [{}]", except.join(", "))?;
            }
        }
        if let Some(fleet) = &self.fleet {
            let list =
                |all: Vec<String>| all.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ");
            writeln!(f, "\n[fleet]\nurl = {}", quoted(&fleet.url))?;
            if let Some(domain) = &fleet.domain {
                writeln!(f, "domain = {}", quoted(domain))?;
            }
            if let Some(file) = &fleet.credentials_file {
                writeln!(f, "credentials-file = {}", path(file))?;
            }
            let relays = fleet.relays.iter().map(ToString::to_string).collect();
            writeln!(f, "relays = [{}]", list(relays))?;
            match &fleet.share {
                None => {}
                Some(Share::Credential) => writeln!(f, "share = \"credential\"")?,
                Some(Share::KeyFile(file)) => writeln!(f, "share-key-file = {}", path(file))?,
            }
            writeln!(f, "\n[fleet.scopes]")?;
            for (name, patterns) in &fleet.scopes {
                let patterns = patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
                writeln!(f, "{} = [{}]", key(name), list(patterns))?;
            }
        }
        if let Some(relay) = &self.relay {
            writeln!(f, "\n[relay]\nkey-file = {}", path(&relay.key_file))?;
            if let Some(file) = &relay.credentials_file {
                writeln!(f, "credentials-file = {}", path(file))?;
            }
        }
        for (name, instance) in &self.written {
            writeln!(f, "\n[instances.{name}]")?;
            f.write_str(&self::instance(instance))?;
        }
        Ok(())
    }
}

fn size(bytes: u64) -> String {
    let shown = Size(bytes);
    // A rounded size would not read back as the same.
    if shown.to_string().parse() == Ok(shown) { shown.to_string() } else { bytes.to_string() }
}

fn span(length: Duration) -> String {
    if length.subsec_millis() == 0 && length.as_secs() > 0 {
        format!("{}s", length.as_secs())
    } else {
        format!("{}ms", length.as_millis())
    }
}

/// A basic string of TOML: quoted, and nothing hidden in it that is not escaped.
fn quoted(text: &str) -> String {
    let mut hidden = omnifs_text::hidden(text).map(|(at, _)| at).peekable();
    let mut quoted = String::from("\"");
    for (at, c) in text.char_indices() {
        match c {
            _ if hidden.next_if_eq(&at).is_some() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            '"' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A key, bare where that is possible.
fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn instance(instance: &InstanceConfig) -> String {
    let mut lines = Vec::new();
    lines.extend(instance.provider.as_ref().map(|p| format!("provider = {}", quoted(p))));
    lines.extend(instance.enabled.map(|on| format!("enabled = {on}")));
    for (name, endpoint) in &instance.endpoints {
        let at = format!("endpoints.{}", key(name));
        if *endpoint == EndpointConfig::default() {
            lines.push(format!("{at} = {{}}"));
        }
        lines.extend(endpoint.url.as_ref().map(|url| format!("{at}.url = {}", quoted(url))));
        for (setting, hosts) in
            [("redirect-hosts", &endpoint.redirect_hosts), ("token-hosts", &endpoint.token_hosts)]
        {
            let quoted: Vec<_> = hosts.iter().map(|host| quoted(host)).collect();
            let shown = (!quoted.is_empty()).then(|| quoted.join(", "));
            lines.extend(shown.map(|hosts| format!("{at}.{setting} = [{hosts}]")));
        }
        lines.extend(endpoint.ca_file.as_ref().map(|p| format!("{at}.ca-file = {}", path(p))));
    }
    lines.extend(
        instance.credential_file.as_ref().map(|p| format!("credential-file = {}", path(p))),
    );
    for (name, file) in &instance.credential_files {
        lines.push(format!("credential-files.{} = {}", key(name), path(file)));
    }
    lines.extend(instance.client_id.as_ref().map(|id| format!("client-id = {}", quoted(id))));
    let webhook = instance.webhook_secret_file.as_ref();
    lines.extend(webhook.map(|p| format!("webhook-secret-file = {}", path(p))));
    if let Some(allow) = &instance.allow {
        let patterns: Vec<_> = allow.patterns().iter().map(|pattern| quoted(pattern)).collect();
        lines.push(format!("allow = [{}]", patterns.join(", ")));
    }
    for (name, setting) in &instance.settings {
        lines.push(format!("settings.{} = {}", key(name), quoted(setting)));
    }
    lines.extend(instance.grant.as_ref().map(|g| format!("grant = {}", quoted(g))));
    lines.extend(instance.asks.as_ref().map(|a| format!("asks = {}", quoted(a))));
    lines.into_iter().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        let text = "[cache]\nbytes = 1048577\n[limits]\ncall-time = '1500ms'\n\
            [mount]\nwebhook-listen = '[::1]:80'\nwebhook-url = 'https://hooks.example/x'\n\
            metrics-listen = '127.0.0.1:9464'\n\
            [fleet]\nurl = 'tls://bus.example'\ndomain = 'hub'\ncredentials-file = '/mount'\n\
            relays = ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']\n\
            share-key-file = '/share'\n\
            scopes.a = ['issues:*', '>']\n[relay]\nkey-file = '/key'\ncredentials-file = '/relay'\n\
            [instances.a]\nprovider = 'b'\n\
            endpoints.'odd name' = 'https://h'\n\
            endpoints.e = { redirect-hosts = ['https://l'], token-hosts = ['https://t'], ca-file = '/ca' }\ncredential-file = '/x \"y\"'\n\
            client-id = 'c'\nallow = ['acme/*', 'mira']\n\
            credential-files.t = '/t'\nsettings.s = \"tab\\tend\"\nenabled = false\nendpoints.none = {}\n";
        let file = Path::new("/c.toml");
        let digests =
            ["grant", "asks"].map(|key| format!("{key} = 'sha256:{}'\n", "0f".repeat(32)));
        let config = read::parse(file, &format!("{text}{}", digests.concat())).unwrap();
        assert_eq!(read::parse(file, &config.to_string()).unwrap(), config);
    }

    #[test]
    fn nothing_that_is_shown_hides_something_and_it_reads_back_as_the_same() {
        let strange = "a\u{202e}b\u{200b}c\u{7f}\n\t'\"\\ \u{645}\u{200c}\u{647} \u{e0041}";
        let mut instance = InstanceConfig::default();
        instance.settings.insert("s".into(), strange.into());
        instance.credential_files.insert(strange.into(), strange.into());
        let config = Config { written: [("a".into(), instance)].into(), ..Config::default() };
        let shown = config.to_string();
        assert!(omnifs_text::hidden(&shown).all(|(_, c)| c == '\n'), "{shown}");
        let read = read::parse(Path::new("/c.toml"), &shown).unwrap();
        assert_eq!(read.written["a"].settings["s"], strange);
        let name = read.written["a"].credential_files.keys().next();
        assert_eq!(name.map(String::as_str), Some(strange));
    }
}
