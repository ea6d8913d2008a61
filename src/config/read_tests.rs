use super::*;

fn mistakes(text: &str) -> Vec<String> {
    let file = Path::new("/etc/c.toml");
    match parse(file, text) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            errors.iter().map(|e| format!("{e} | {}", e.hint().unwrap_or_default())).collect()
        }
    }
}

fn mistake(text: &str) -> String {
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn a_full_file_is_read() {
    let text = r#"
        # comment
        [cache]
        nodes = 1_000
        bytes = "64MiB"
        [limits]
        guest-memory = 67108864
        call-time = "2s"
        [mount]
        backend = "fuse"
        allow-other = true
        threads = 3
        webhook-listen = "127.0.0.1:8787"
        [instances.ghe]
        provider = "github"
        endpoints.api = "https://ghe.example/api/v3"
        credential-file = "secrets/ghe"
        settings = { bound = 5000, deep = true, note = "x" }
    "#;
    let config = parse(Path::new("/etc/omnifs/c.toml"), text).unwrap();
    assert_eq!((config.cache.nodes, config.cache.bytes), (1000, 64 << 20));
    assert_eq!(config.limits.call_time, Duration::from_secs(2));
    assert_eq!(config.limits.request_time, Config::default().limits.request_time);
    assert!(config.mount.allow_other);
    assert_eq!(config.mount.threads, 3);
    let ghe = &config.written["ghe"];
    assert_eq!(ghe.provider.as_deref(), Some("github"));
    assert_eq!(ghe.endpoints["api"].url.as_deref(), Some("https://ghe.example/api/v3"));
    assert_eq!(ghe.credential_file.as_deref(), Some(Path::new("/etc/omnifs/secrets/ghe")));
    assert_eq!(ghe.settings["bound"], "5000");
    assert_eq!(ghe.settings["deep"], "true");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
    assert_eq!(
        mistake("[cache]\n\nnode = 5000"),
        "/etc/c.toml:3: unknown key 'node' in [cache] | did you mean 'nodes'?"
    );
    assert_eq!(
        mistake("[instnaces.docker]\nprovider = 'docker'"),
        "/etc/c.toml:1: unknown key 'instnaces' in the file | did you mean 'instances'?"
    );
    assert_eq!(
        mistake("mount.allow_other = true"),
        "/etc/c.toml:1: unknown key 'allow_other' in [mount] | did you mean 'allow-other'?"
    );
    assert_eq!(
        mistake("zzz = 1"),
        "/etc/c.toml:1: unknown key 'zzz' in the file | known here: instances, cache, limits, mount, \
         network, fleet, relay"
    );
    assert!(mistake("[instances.a]\nenabeld = true").ends_with("'enabled'?"));
}

#[test]
fn a_key_of_another_section_or_by_another_name_says_what_to_write() {
    for (text, instead) in [
        ("allow-other = true", "write it in [mount]"),
        ("[cache]\nrequest_time = '5s'", "write it in [limits]"),
        ("[instances.a]\nurl = 'https://a.example'", "in [instances.NAME.endpoints.ENDPOINT]"),
        ("[providers.github]\nenabled = true", "write [instances.NAME]"),
        ("[provider.github]\nenabled = true", "write [instances.NAME]"),
        ("[github]\nenabled = true", "write [instances.github]"),
        ("[cache]\ncapacity = 5000", "write nodes and bytes in [cache]"),
        ("[mount]\ncache_capacity = '5000'", "write nodes and bytes in [cache]"),
        ("[instances.a]\ntoken_file = '/t'", "write credential-file in [instances.NAME]"),
        ("[limits]\ntimeout = '5s'", "write request-time in [limits]"),
        ("[mount]\nread-only = true", "leave it out"),
        ("[instances.a]\nlisting-bound = 5", "write it in [instances.a.settings] if"),
    ] {
        let found = mistake(text);
        let (_, hint) = found.split_once(" | ").expect("a hint");
        assert!(hint.contains(instead) && !hint.contains('\n'), "{text}: {found}");
    }
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_file() {
    let found = mistakes("[mount]\nthreads = 0\nalow-other = true\n[cache]\nnodes = 'many'\n");
    let lines: Vec<_> = found.iter().map(|m| m.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["2", "3", "5"], "{found:?}");
}

#[test]
fn a_wrong_type_says_what_is_expected() {
    assert_eq!(
        mistake("[mount]\nallow-other = 'yes'"),
        "/etc/c.toml:2: 'mount.allow-other' must be true or false, not a string | \
         write true or false without quotes"
    );
    assert!(mistake("[cache]\nnodes = -5").contains("must be a whole number"));
    assert!(mistake("[cache]\nbytes = '10 parsec'").contains("is not a size"));
    assert!(mistake("[cache]\nbytes = true").contains("must be a size"));
    assert!(mistake("cache = 5").contains("'cache' must be a table, not an integer"));
    assert!(mistake("[[cache]]\nnodes = 5000").contains("must be a table, not an array"));
    assert!(mistake("[mount]\nbackend = 'fsue'").contains("known: fuse, nfs, winfsp"));
    assert!(mistake("[mount]\nwebhook-listen = '8787'").contains("is not an address"));
    assert!(mistake("[mount]\nmetrics-listen = '9464'").contains("is not an address"));
    assert!(mistake("[mount]\nmetrics-listen = '0.0.0.0:9464'").contains("127.0.0.1:PORT"));
    assert!(mistake("[mount]\nwebhook-url = 'unix:///x'").contains("https://HOST"));
    assert!(mistake("[mount]\nwebhook-url = 'hooks.example'").contains("is not a URL"));
    assert!(mistake("[limits]\ncall-time = '0s'").contains("would fail every call"));
}

#[test]
fn a_syntax_error_names_the_line_and_does_not_quote_it() {
    let found = mistake("[cache]\nnodes = 5\n[instances.a]\nx = ghp_supersecret\n");
    assert!(found.starts_with("/etc/c.toml:4: "), "{found}");
    assert!(!found.contains("ghp_"), "{found}");
    assert!(mistake("[cache]\nnodes = 1000\n[cache]\n").starts_with("/etc/c.toml:3: "));
}

#[test]
fn a_secret_is_refused_and_not_repeated() {
    for text in [
        "[instances.github]\ntoken = 'abc123'",
        "[instances.github]\napi_key = 'abc123'",
        "[instances.github.settings]\nclient-secret = 'abc123'",
        "[instances.github.settings]\nanything = 'ghp_abc123DEFghi456JKLmno789PQRstu012VWX'",
        "[instances.github.settings]\nanything = 'github_pat_11ABCDEFG0abcdefgh_abc123DEFghi456JKLmno789PQRstu012VWX'",
        "[instances.linear]\ncredential-file = 'lin_api_abc123DEFghi456JKLmno789PQRstu012VWX'",
        "[instances.ghe]\nendpoints.api = 'https://me:abc123@ghe.example'",
        "[instances.ghe]\nendpoints.api = 'https://abc123@ghe.example'",
    ] {
        let found = mistake(text);
        assert!(found.contains("holds a secret"), "{found}");
        assert!(found.contains("credential-file"), "{found}");
        assert!(!found.contains("abc123"), "{found}");
    }
}

#[test]
fn a_proxy_is_a_url_or_that_of_the_environment_and_has_no_password_here() {
    let egress = |text: &str| {
        parse(Path::new("/etc/c.toml"), &format!("[network]\n{text}")).expect("right").egress
    };
    assert_eq!(egress(""), Egress::Direct);
    assert_eq!(egress("proxy = 'environment'"), Egress::Environment);
    let (url, except) = ("proxy.corp:3128".to_owned(), vec!["a.corp".to_owned()]);
    let written = "proxy = 'proxy.corp:3128'\nno-proxy = ['a.corp']";
    assert_eq!(egress(written), Egress::Proxy { url, except });
    let shown = parse(Path::new("/etc/c.toml"), &format!("[network]\n{written}")).expect("right");
    let again = parse(Path::new("/etc/c.toml"), &shown.to_string()).expect("what is shown");
    assert_eq!(again.egress, shown.egress);
    for (text, part) in [
        ("proxy = 'socks5://h'", "http://HOST:PORT"),
        ("proxy = 'http://u:hunter2@h'", "holds a secret"),
        ("proxy = 'u:hunter2@h:80'", "a password is not for this file"),
        ("proxy = 'environment'\nno-proxy = ['a']", "NO_PROXY"),
        ("no-proxy = ['a']", "belongs to a proxy"),
        ("proxi = 'x'", "'proxy'?"),
    ] {
        let found = mistake(&format!("[network]\n{text}"));
        assert!(found.contains(part) && !found.contains("hunter2"), "{found}");
    }
}

#[test]
fn an_id_is_no_secret() {
    for value in [
        "acct_1032D82eZvKYlo2C",
        "team_01HXYZ0123456789ABCDEFGHJK",
        "2bb4ac33-83ad-4e21-9d1f-00a5b4d3c2e1",
        "a_setting_of_many_words_that_has_no_number",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ] {
        let text = format!("[instances.a.settings]\nanything = '{value}'");
        assert_eq!(mistakes(&text), [""; 0], "{value}");
    }
}

#[test]
fn endpoints_must_be_base_urls() {
    for url in ["https://api.github.com", "http://127.0.0.1:80/x", "unix:///run/docker.sock"] {
        assert!(mistakes(&format!("[instances.a]\nendpoints.e = '{url}'")).is_empty(), "{url}");
    }
    for url in ["", "api.github.com", "file:///etc", "https://h/?q=1", "unix://host/x", "unix:///"]
    {
        let found = mistake(&format!("[instances.a]\nendpoints.e = '{url}'"));
        assert!(found.starts_with("/etc/c.toml:2: 'instances.a.endpoints.e': "), "{found}");
    }
}

#[test]
fn an_endpoint_may_be_a_table() {
    let text = "[instances.a.endpoints.e]\nurl = 'https://h'\nca-file = 'ca.pem'\n\
                redirect-hosts = ['https://logs']";
    let config = parse(Path::new("/etc/c.toml"), text).unwrap();
    let endpoint = &config.written["a"].endpoints["e"];
    assert_eq!(endpoint.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(endpoint.redirect_hosts, ["https://logs"]);
    assert!(mistake(&text.replace("ca-file", "cafile")).contains("'ca-file'?"));
    assert!(mistake(&text.replace("['https://logs']", "[1]")).contains("a list of strings"));
    assert!(mistake(&text.replace("https://h'", "h'")).contains("endpoints.e.url': is not a URL"));
}

#[test]
fn instance_names_and_grants_have_a_form() {
    assert!(mistake("[instances.'Git Hub']\nenabled = true").contains("lower-case"));
    assert!(mistake("[instances.'..']\nenabled = true").contains("lower-case"));
    assert!(mistake("[instances.a]\ngrant = 'sha256:12'").contains("sha256:HEX"));
    let digest = "AB".repeat(32);
    let config = parse(Path::new("c"), &format!("[instances.a]\ngrant = 'sha256:{digest}'"));
    let grant = config.unwrap().written["a"].grant.clone();
    assert_eq!(grant, Some(format!("sha256:{}", digest.to_lowercase())));
}

#[test]
fn a_secret_in_the_place_of_any_value_is_refused_and_not_repeated() {
    let secret = format!("ghp_{}", "a1".repeat(20));
    for (section, key) in [
        ("cache", "bytes"),
        ("cache", "nodes"),
        ("limits", "guest-memory"),
        ("limits", "call-time"),
        ("mount", "backend"),
        ("mount", "allow-other"),
        ("mount", "webhook-listen"),
        ("instances.a", "endpoints"),
        ("instances.a", "grant"),
    ] {
        let found = mistake(&format!("[{section}]\n{key} = '{secret}'"));
        assert!(found.contains("holds a secret") && !found.contains(&secret), "{key}: {found}");
    }
    // Nor is a text that has another form than most tokens.
    for (section, key) in [
        ("cache", "bytes"),
        ("limits", "call-time"),
        ("mount", "backend"),
        ("mount", "webhook-listen"),
        ("mount", "webhook-url"),
        ("instances.a", "endpoints.e"),
        ("instances.a", "grant"),
    ] {
        let found = mistake(&format!("[{section}]\n{key} = 'correct horse'"));
        assert!(!found.contains("horse"), "{key}: {found}");
    }
    let listed = format!("[instances.a.endpoints.e]\nredirect-hosts = ['h', '{secret}']");
    assert!(mistake(&listed).contains("holds a secret"));
}

const RELAYS: &str = "relays = ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']";

#[test]
fn a_fleet_has_a_bus_its_relays_keys_and_the_scopes_that_they_tell_of() {
    let text = format!(
        "[fleet]\nurl = 'tls://bus.example:4222'\ncredentials-file = 'bus'\n{RELAYS}\n\
         scopes.github = ['issues:*']\n[relay]\nkey-file = 'key'\n"
    );
    let config = parse(Path::new("/etc/c.toml"), &text).unwrap();
    let fleet = config.fleet.unwrap();
    assert_eq!(fleet.url, "tls://bus.example:4222");
    assert_eq!(fleet.credentials_file.as_deref(), Some(Path::new("/etc/bus")));
    assert_eq!((fleet.relays.len(), fleet.scopes["github"].len()), (1, 1));
    assert_eq!(config.relay.unwrap().key_file, Path::new("/etc/key"));
}

#[test]
fn a_fleet_shares_answers_by_credential_or_by_a_key_where_that_is_written() {
    let parsed = |line: &str| {
        let text = format!("[fleet]\nurl = 'tls://bus'\n{RELAYS}\n{line}\nscopes.a = ['>']\n");
        parse(Path::new("/etc/c.toml"), &text).map(|config| config.fleet.unwrap().share)
    };
    assert_eq!(parsed("").unwrap(), None);
    assert_eq!(parsed("share = 'off'").unwrap(), None);
    assert_eq!(parsed("share = 'credential'").unwrap(), Some(Share::Credential));
    let file = Share::KeyFile("/etc/key".into());
    assert_eq!(parsed("share-key-file = 'key'").unwrap(), Some(file));
    for wrong in ["share = 'yes'", "share = 'credential'\nshare-key-file = 'key'"] {
        assert!(parsed(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_a_fleet_is_said() {
    let fleet = |text: &str| mistakes(&format!("[fleet]\n{text}"));
    let lacks = fleet("");
    assert_eq!(lacks.len(), 3, "{lacks:?}");
    assert!(lacks[0].contains("'fleet': lacks url"), "{lacks:?}");
    let rest = format!("{RELAYS}\nscopes.a = ['>']");
    for url in
        ["nats://bus.example", "https://bus.example", "bus", "tls://bus/path", "nats://[::2]"]
    {
        let found = fleet(&format!("url = '{url}'\n{rest}"));
        assert!(found.len() == 1 && found[0].contains("tls://HOST"), "{url}: {found:?}");
    }
    for url in
        ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222", "tls://bus.example"]
    {
        assert_eq!(fleet(&format!("url = '{url}'\n{rest}")), [""; 0], "{url}");
    }
    let secret = fleet(&format!("url = 'tls://user:password@bus.example'\n{rest}"));
    assert!(secret.len() == 1 && !secret[0].contains("password@"), "{secret:?}");
    let odd = fleet("url = 'tls://bus'\nrelays = ['key']\nscopes.a = ['a*']");
    assert!(
        odd.len() == 2 && odd[0].contains("public key") && odd[1].contains("pattern"),
        "{odd:?}"
    );
    for (relays, scopes) in
        [("relays = []", "scopes.a = ['>']"), (RELAYS, "scopes.a = []"), (RELAYS, "[fleet.scopes]")]
    {
        let found = fleet(&format!("url = 'tls://bus'\n{relays}\n{scopes}"));
        assert!(found.len() == 1 && found[0].contains("is empty"), "{scopes}: {found:?}");
    }
    let found = fleet(&format!("url = 'tls://bus'\ndomain = 'a.b'\n{rest}"));
    assert!(found.len() == 1 && found[0].contains("domain"), "{found:?}");
    let found = mistakes("[relay]\nkey-file = 'k'");
    assert!(found.len() == 1 && found[0].contains("[fleet]"), "{found:?}");
    let found = mistakes(&format!("[fleet]\nurl = 'tls://bus'\n{rest}\n[relay]\n"));
    assert!(found.len() == 1 && found[0].contains("omnifs relay key"), "{found:?}");
}
