//! A service that gives tokens for a registry, as the Distribution project describes them: signed, for one repository.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const SERVICE: &str = "registry of the test";
const ISSUER: &str = "issuer of the test";

/// Who may have a token, and what for.
struct Keys {
    pair: EcdsaKeyPair,
    certificate: Vec<u8>,
    /// What `Authorization` has to hold for a token.
    user: Option<String>,
    /// Seconds that a token is good for.
    lasts: u64,
    asked: Mutex<Vec<String>>,
}

/// It serves until the test's process ends.
pub struct Tokens {
    keys: Arc<Keys>,
    url: String,
}

impl Tokens {
    /// Writes the certificate into `folder`. `user` is NAME:PASSWORD; without one everybody is given tokens.
    pub fn serve(folder: &Path, user: Option<&str>, lasts: u64) -> Tokens {
        let made = rcgen::generate_simple_self_signed(vec!["tokens.test".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(folder.join("tokens.pem"), made.cert.pem()).expect("a file");
        let private = made.signing_key.serialize_der();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let keys = Arc::new(Keys {
            pair: EcdsaKeyPair::from_pkcs8(algorithm, &private, &SystemRandom::new())
                .expect("a key"),
            certificate: made.cert.der().to_vec(),
            user: user.map(|user| format!("Basic {}", STANDARD.encode(user))),
            lasts,
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = keys.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up gets no answer.
                let _ = serving.answer(stream);
            }
        });
        Tokens { keys, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The registry's section for it.
    pub fn section(&self, folder: &Path) -> String {
        format!(
            "auth: {{token: {{realm: '{}/token', service: '{SERVICE}', issuer: '{ISSUER}', \
             rootcertbundle: '{}'}}}}\n",
            self.url,
            folder.join("tokens.pem").display()
        )
    }

    /// For whoever fills the registry.
    pub fn to_push(&self, repos: &[&str]) -> String {
        let both =
            |repo: &&str| json!({"type": "repository", "name": repo, "actions": ["pull", "push"]});
        self.keys.token(&repos.iter().map(both).collect(), 3600)
    }

    /// The requests so far: path and query.
    pub fn asked(&self) -> Vec<String> {
        self.keys.asked.lock().expect("a lock").clone()
    }
}

impl Keys {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let reader = BufReader::new(&stream);
        let (mut target, mut user) = (String::new(), None);
        for line in reader.lines() {
            let line = line?;
            match line.split_once(": ") {
                _ if line.is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    user = Some(value.to_owned());
                }
                None => target = line.split(' ').nth(1).unwrap_or_default().to_owned(),
                Some(_) => {}
            }
        }
        self.asked.lock().expect("a lock").push(target.clone());
        let allowed = self.user.is_none() || self.user == user;
        let (status, body) = match allowed {
            true => (
                "200 OK",
                json!({"token": self.token(&access(&target), self.lasts), "expires_in": self.lasts}),
            ),
            false => ("401 Unauthorized", json!({"errors": []})),
        };
        let body = body.to_string();
        write!(
            &stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    /// A JSON Web Token (RFC 7519), signed by ES256.
    fn token(&self, access: &Value, lasts: u64) -> String {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
        let head =
            json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)]});
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": "", "jti": format!("{now}"),
            "iat": now, "nbf": now - 60, "exp": now + lasts, "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature =
            self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a request's `scope=repository:NAME:pull` asks for. Nobody is let push.
fn access(target: &str) -> Value {
    let url =
        url::Url::parse("http://tokens.test").and_then(|base| base.join(target)).expect("a URL");
    let scopes = url.query_pairs().filter(|(name, _)| name == "scope");
    scopes
        .filter_map(|(_, scope)| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, _) = rest.rsplit_once(':')?;
            let actions: &[&str] = if kind == "repository" { &["pull"] } else { &[] };
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect()
}
