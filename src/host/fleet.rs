//! The fleet that a mount or a relay belongs to, from its configuration.

use super::running::Working;
use super::{credentials, described, refused};
use crate::capability::Outbound;
use crate::component;
use crate::config::{self, Config, Instance};
use crate::control::Refused;
use crate::credentials::secret_file;
use crate::events::bus::Positions;
use crate::events::bus::answers::{Answers, Share};
use crate::events::bus::keys::{PublicKey, Signer};
use crate::events::bus::names::{Pattern, Place};
use crate::events::bus::server::{self, Access, Server};
use crate::events::bus::{self, Rhythm};
use crate::provider::Manifest;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A connection to the bus of a configuration, and what is heard there.
#[derive(Debug)]
pub(super) struct Joined {
    pub server: Server,
    pub keys: Arc<[PublicKey]>,
    pub scopes: BTreeMap<String, Arc<[Pattern]>>,
    pub rhythm: Rhythm,
    /// By instance, where the mount stands.
    positions: BTreeMap<String, Arc<Positions>>,
    /// With whom answers are shared.
    share: Option<Share>,
}

impl Joined {
    /// What an instance has of it.
    pub fn of(&self, instance: &str) -> Option<bus::Fleet> {
        Some(bus::Fleet {
            server: self.server.clone(),
            keys: self.keys.clone(),
            scopes: self.scopes.get(instance)?.clone(),
            rhythm: self.rhythm.clone(),
            positions: self.positions.get(instance)?.clone(),
        })
    }

    /// The answers that an instance shares, if it does.
    pub fn answers(
        &self,
        name: &str,
        digest: &[u8; 32],
        manifest: &Manifest,
        outbound: &Outbound,
    ) -> Option<Answers> {
        let positions = self.positions.get(name)?.clone();
        // What one component makes of an answer says nothing of what another does.
        let digest = component::named(digest);
        let place = format!("{} {digest}", place(manifest, outbound).as_str());
        let (server, share) = (self.server.clone(), self.share.clone()?);
        Some(Answers::new(server, place, share, self.rhythm.clone(), positions))
    }

    /// Something was told that did not come by the bus.
    pub fn doubt(&self) {
        self.positions.values().for_each(|positions| positions.doubt());
    }
}

/// Connects in the background. `credentials` is what the mount or the relay is to the bus.
pub(super) async fn join(
    fleet: &config::Fleet,
    credentials: Option<&Path>,
) -> Result<Joined, Refused> {
    let access = access(fleet, credentials)?;
    let scopes =
        fleet.scopes.iter().map(|(name, patterns)| (name.clone(), patterns.as_slice().into()));
    Ok(Joined {
        server: Server::connect(&access).await.map_err(refused)?,
        keys: fleet.relays.as_slice().into(),
        scopes: scopes.collect(),
        rhythm: rhythm(),
        positions: fleet.scopes.keys().map(|name| (name.clone(), Arc::default())).collect(),
        share: fleet.share.as_ref().map(share).transpose()?,
    })
}

fn access(fleet: &config::Fleet, credentials: Option<&Path>) -> Result<Access, Refused> {
    let text = credentials.map(secret_file).transpose().map_err(refused)?;
    Access::new(&fleet.url, fleet.domain.as_deref(), text.as_ref()).map_err(|problem| {
        let file = credentials.map(|file| file.display().to_string()).unwrap_or_default();
        refused(format_args!("{file} {problem}"))
    })
}

/// `OMNIFS_BEAT_MS` is another beat, by which all else is measured: for tests.
fn rhythm() -> Rhythm {
    let beat = std::env::var("OMNIFS_BEAT_MS").ok().and_then(|text| text.parse().ok());
    beat.map_or_else(Rhythm::default, |beat: u64| Rhythm::at(Duration::from_millis(beat.max(1))))
}

/// The place that the scopes of an instance belong to: its provider, at the address of its first endpoint.
pub(super) fn place(manifest: &Manifest, outbound: &Outbound) -> Place {
    let endpoints = outbound.status().endpoints;
    let origin = endpoints.first().map(|endpoint| endpoint.url.as_str()).unwrap_or_default();
    Place::new(&manifest.name, &manifest.version, origin)
}

pub(super) fn place_of(working: &Working) -> Place {
    place(&working.manifest, &working.outbound)
}

fn share(share: &config::Share) -> Result<Share, Refused> {
    match share {
        config::Share::Credential => Ok(Share::Credential),
        // It is made as a relay's is.
        config::Share::KeyFile(file) => signer(file).and_then(|_| {
            let key = secret_file(file).map_err(refused)?;
            Ok(Share::Key(key))
        }),
    }
}

/// The key of a relay.
pub(super) fn signer(file: &Path) -> Result<Signer, Refused> {
    let text = secret_file(file).map_err(refused)?;
    Signer::new(&text).map_err(|problem| refused(format_args!("{} {problem}", file.display())))
}

/// Whose permissions on the bus are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Mount,
    Relay,
}

/// What the user of that name is to be permitted on the bus: a section of the server's configuration, below a comment
/// that says of which account it is to be.
///
/// # Errors
/// A component of the fleet cannot be read, or there is no fleet.
pub fn permissions(
    config: &Config,
    instances: &[Instance],
    cache: &Path,
    whose: Whose,
    user: &str,
) -> Result<String, Refused> {
    let fleet = config.fleet.as_ref().ok_or_else(no_fleet)?;
    if !server::is_token(user) {
        return Err(refused("a user's name has letters, digits, _ and - alone"));
    }
    let mut patterns = Vec::new();
    for (name, scopes) in &fleet.scopes {
        let Some(instance) = instances.iter().find(|i| i.name == *name && i.enabled) else {
            return Err(refused(format_args!("[fleet.scopes] names {name}, which is not enabled")));
        };
        let (_, manifest) = described(instance, cache)?;
        let place = place(&manifest, &credentials::asking(instance, &manifest)?);
        patterns.extend(scopes.iter().map(|scopes| place.pattern(scopes)));
    }
    let api = server::api(fleet.domain.as_deref());
    let each =
        |front: &str| patterns.iter().map(|scopes| format!("{front}.{scopes}")).collect::<Vec<_>>();
    let inbox = vec![format!("{}.>", server::inbox(user))];
    let shared = match fleet.share {
        None => Vec::new(),
        // Nobody of another user can write there, or look what is there.
        Some(_) => vec![
            format!("{api}.DIRECT.GET.{}.omnifs.answer.{user}.*", server::ANSWERS),
            format!("omnifs.answer.{user}.*"),
            format!("omnifs.fetch.{user}.*"),
        ],
    };
    let (publish, subscribe) = match whose {
        Whose::Mount => (
            [
                each(&format!("{api}.DIRECT.GET.{}.omnifs.scope", server::STREAM)),
                each("omnifs.want"),
                shared,
            ]
            .concat(),
            [each("omnifs.now"), each("omnifs.beat"), inbox].concat(),
        ),
        Whose::Relay => {
            let shared = [server::ANSWERS, server::FETCHES];
            let shared = shared.iter().filter(|_| fleet.share.is_some());
            let streams =
                [server::STREAM, server::LEASES].iter().chain(shared).flat_map(|stream| {
                    ["STREAM.INFO", "STREAM.CREATE"].map(|verb| format!("{api}.{verb}.{stream}"))
                });
            let gets = [server::STREAM, server::LEASES]
                .map(|stream| format!("{api}.DIRECT.GET.{stream}.>"));
            let own = ["omnifs.scope.>", "omnifs.beat.>", "omnifs.told.>", "$KV.OMNIFS_LEASES.>"];
            (
                own.map(str::to_owned).into_iter().chain(streams).chain(gets).collect(),
                [vec!["omnifs.want.>".to_owned(), "omnifs.told.>".to_owned()], inbox].concat(),
            )
        }
    };
    let mut text = accounts(whose, fleet.share.is_some());
    text.push_str("permissions: {\n");
    for (verb, subjects) in [("publish", publish), ("subscribe", subscribe)] {
        let _ = writeln!(text, "  {verb}: {{ allow: [");
        for subject in subjects {
            // A subject has no quote: what is no letter of a token is escaped.
            let _ = writeln!(text, "    \"{subject}\"");
        }
        text.push_str("  ] }\n");
    }
    Ok(text + "}\n")
}

/// Which account the user is to be of, as a comment. A server sends the answer of JetStream wherever the request says,
/// whatever its sender may publish: mounts that shared the relay's account could have it written to another scope, or
/// to the subject that deletes the stream. Through an import such a place is one of the mounts' own account.
fn accounts(whose: Whose, shares: bool) -> String {
    let reads = format!("$JS.API.DIRECT.GET.{}.>", server::STREAM);
    let answers = format!("$JS.API.DIRECT.GET.{}.>", server::ANSWERS);
    let shared = [
        ("service", answers.as_str()),
        ("service", "omnifs.answer.>"),
        ("service", "omnifs.fetch.>"),
    ];
    let passed = [
        ("service", reads.as_str()),
        ("service", "omnifs.want.>"),
        ("stream", "omnifs.now.>"),
        ("stream", "omnifs.beat.>"),
    ];
    let mut text = String::from(match whose {
        Whose::Mount => {
            "# A user of an account of its own, MOUNTS, without JetStream, which imports\n"
        }
        Whose::Relay => "# A user of the account HUB, with JetStream, which exports\n",
    });
    for (kind, subject) in passed.iter().chain(shared.iter().filter(|_| shares)) {
        let line = match whose {
            Whose::Relay => format!("{{ {kind}: \"{subject}\" }}"),
            Whose::Mount => {
                format!("{{ {kind}: {{ account: HUB, subject: \"{subject}\" }} }}")
            }
        };
        let _ = writeln!(text, "#   {line}");
    }
    text
}

pub(super) fn no_fleet() -> Refused {
    Refused {
        message: "the configuration has no [fleet]".into(),
        hint: Some("docs/fleet.md says what belongs into it".into()),
    }
}

/// Makes a relay's key in a new file, and says what mounts are to believe.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn make_key(file: &Path) -> Result<PublicKey, Refused> {
    use std::io::Write as _;
    let text = Signer::generate().map_err(refused)?;
    let signer = Signer::new(&text).map_err(refused)?;
    let written = crate::paths::private_file()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut opened| writeln!(opened, "{}", text.expose()));
    written.map_err(|error| Refused {
        message: format!("cannot write {}: {error}", file.display()),
        hint: crate::paths::remedy(file, &error),
    })?;
    Ok(signer.public())
}

/// The public key of the relay's key in a file.
///
/// # Errors
/// It holds none, or others can read it.
pub fn public_key(file: &Path) -> Result<PublicKey, Refused> {
    Ok(signer(file)?.public())
}

/// Whether the bus lets in whom the credentials file names, within a bound. Says how it is reached.
///
/// # Errors
/// Why not.
pub async fn try_bus(
    fleet: &config::Fleet,
    credentials: Option<&Path>,
    patience: Duration,
) -> Result<(), Refused> {
    let server = join(fleet, credentials).await?.server;
    match server.is_connected_within(patience).await {
        true => Ok(()),
        false => Err(refused(server.trouble().unwrap_or_else(|| "it does not answer".to_owned()))),
    }
}
