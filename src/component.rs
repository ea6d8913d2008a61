//! From a configured instance to the component it may run.
//!
//! Invariant: a component from a file runs only if the user approved exactly these bytes: on the
//! command line of this mount, or with a recorded SHA-256.

use crate::config::{Approval, Instance, Source};
use crate::control::hex;
use crate::shipped::Packed;
use crate::{declaration, paths};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest component file, in bytes; shipped ones are some hundred KiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// A component, approved or not.
#[derive(Clone, Debug)]
pub struct Component {
    bytes: Bytes,
    /// SHA-256 of its bytes.
    pub sum: [u8; 32],
    /// The same as `sha256:HEX`.
    pub digest: String,
    /// It was made of a TOML file here and now; see [`declaration`].
    pub is_declared: bool,
}

impl Component {
    /// One of these bytes.
    pub fn of(bytes: Vec<u8>) -> Component {
        Component::with(Sha256::digest(&bytes).into(), Bytes::Read(bytes))
    }

    fn with(sum: [u8; 32], bytes: Bytes) -> Component {
        Component { bytes, digest: named(&sum), sum, is_declared: false }
    }

    /// Unpacks them, where it ships.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.bytes {
            Bytes::Read(bytes) => Cow::Borrowed(bytes),
            Bytes::Shipped(packed) => Cow::Owned(packed.unpack()),
        }
    }
}

#[derive(Clone, Debug)]
enum Bytes {
    Read(Vec<u8>),
    Shipped(Packed),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no provider is named '{name}'")]
    Unknown { name: String, nearest: Option<String> },
    #[error("cannot read the component {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than a component may be ({} MiB)", .0.display(), MOST_BYTES >> 20)]
    TooLarge(PathBuf),
    #[error("{} is not a WebAssembly component: {what}", path.display())]
    NotComponent { path: PathBuf, what: &'static str },
    #[error("{}: {why}", path.display())]
    Declaration { path: PathBuf, why: declaration::Fault },
    #[error("the capabilities of {} are not approved", .0.display())]
    Unapproved(PathBuf),
    #[error("{} is not the file that was approved", .0.display())]
    Changed(PathBuf),
    #[error(
        "{} asks for something else than was approved{}{}", path.display(),
        if difference.is_empty() { "" } else { ": " }, difference.join("; ")
    )]
    AsksElse { path: PathBuf, difference: Vec<String> },
}

impl Error {
    /// What to do about it, for the instance of this name.
    pub fn hint(&self, instance: &str) -> Option<String> {
        match self {
            Error::Unknown { nearest: Some(nearest), .. } => {
                Some(format!("did you mean '{nearest}'?"))
            }
            Error::Unknown { .. } => Some("see `omnifs providers list`".into()),
            Error::Read { .. } | Error::TooLarge(_) | Error::Declaration { .. } => None,
            Error::NotComponent { .. } => {
                Some("build it for wasm32-wasip2, or with wit-component from a module".into())
            }
            Error::Unapproved(path) | Error::Changed(path) | Error::AsksElse { path, .. } => {
                Some(format!(
                    "see what it asks for and approve it: omnifs providers add {} --name {instance}",
                    crate::paths::quoted(path)
                ))
            }
        }
    }
}

/// Reads a component's file, or makes a component of a TOML file.
pub fn read(path: &Path) -> Result<Component, Error> {
    let fail = |source| Error::Read { path: path.to_owned(), source };
    let file = paths::open_regular(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::TooLarge(path.to_owned()));
    }
    if declaration::is_one(path) {
        return declared(path, &bytes);
    }
    // Binary format of the component model: the preamble is magic, version, layer.
    let what = match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => None,
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Some("it is a core module"),
        _ if bytes.is_empty() => Some("it is empty"),
        _ => Some("it does not begin like one"),
    };
    match what {
        Some(what) => Err(Error::NotComponent { path: path.to_owned(), what }),
        None => Ok(Component::of(bytes)),
    }
}

/// [`read`], or the component of a declared service that ships, where `given` is the name of one.
pub fn read_or_shipped(given: &Path) -> Result<Component, Error> {
    let found = given.to_str().and_then(shipped);
    found.unwrap_or_else(|| read(given))
}

/// The component of the declared service of this name, where one ships.
pub fn shipped(name: &str) -> Option<Result<Component, Error>> {
    let spec = declaration::shipped().iter().find(|spec| spec.name == name)?;
    Some(declared(Path::new(spec.name), spec.text.as_bytes()))
}

fn declared(path: &Path, text: &[u8]) -> Result<Component, Error> {
    let made = declaration::component(text);
    let bytes = made.map_err(|why| Error::Declaration { path: path.to_owned(), why })?;
    Ok(Component { is_declared: true, ..Component::of(bytes) })
}

/// `sha256:HEX` of a component's bytes.
pub fn digest(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

pub(crate) fn named(sum: &[u8]) -> String {
    format!("sha256:{}", hex(sum))
}

/// The component of an instance, approved or not. `components` are those in this binary.
pub fn find(instance: &Instance, components: &[Packed]) -> Result<Component, Error> {
    match &instance.source {
        Source::File(path) => read(path),
        Source::Missing { name, nearest } => {
            Err(Error::Unknown { name: name.clone(), nearest: nearest.clone() })
        }
        Source::Shipped(name) => match components.iter().find(|packed| packed.name == name) {
            Some(packed) => Ok(Component::with(packed.digest, Bytes::Shipped(*packed))),
            None => Err(Error::Unknown { name: name.clone(), nearest: None }),
        },
    }
}

/// The component of an instance that may run it, as far as its bytes go.
pub fn approved(instance: &Instance, components: &[Packed]) -> Result<Component, Error> {
    let component = find(instance, components)?;
    approve(instance, &component)?;
    Ok(component)
}

/// Whether an instance may run this component, as far as its bytes go; see [`crate::approval`].
pub fn approve(instance: &Instance, component: &Component) -> Result<(), Error> {
    let Source::File(path) = &instance.source else { return Ok(()) };
    match &instance.approval {
        Approval::Shipped | Approval::Flag => Ok(()),
        Approval::Recorded { component: digest, .. } if *digest == component.digest => Ok(()),
        Approval::Recorded { .. } => Err(Error::Changed(path.clone())),
        Approval::None => Err(Error::Unapproved(path.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::InstanceConfig;

    fn instance(path: &Path, approval: Approval) -> Instance {
        Instance {
            name: "x".into(),
            source: Source::File(path.to_owned()),
            approval,
            enabled: true,
            config: InstanceConfig::default(),
            egress: Default::default(),
        }
    }

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_not_a_component_is_told_from_what_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let told = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).map_err(|e| e.to_string())
        };
        assert!(told(b"").unwrap_err().ends_with("it is empty"));
        assert!(told(b"#!/bin/sh\n").unwrap_err().ends_with("does not begin like one"));
        assert!(told(b"\0asm\x01\0\0\0").unwrap_err().ends_with("a core module"));
        assert_eq!(told(COMPONENT).unwrap().bytes(), COMPONENT);
        assert!(read(dir.path()).unwrap_err().to_string().ends_with("it is not a regular file"));
        assert!(read(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn a_changed_file_is_not_approved_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        std::fs::write(&path, COMPONENT).unwrap();
        let component = read(&path).unwrap();
        let approval = Approval::Recorded { component: component.digest.clone(), asks: None };
        let recorded = instance(&path, approval);
        assert!(approve(&recorded, &component).is_ok());
        assert!(approve(&instance(&path, Approval::Flag), &component).is_ok());
        let error = approve(&instance(&path, Approval::None), &component).unwrap_err();
        assert!(error.hint("x").unwrap().ends_with("x.wasm --name x"));
        std::fs::write(&path, [COMPONENT, b"\0"].concat()).unwrap();
        let changed = find(&recorded, &[]).unwrap();
        assert!(matches!(approve(&recorded, &changed), Err(Error::Changed(_))));
    }
}
