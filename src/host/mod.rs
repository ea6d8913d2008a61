//! What the commands ask of the rooms below them, in one place.

mod credentials;
mod demo;
mod nfs;
mod start;
mod status;

pub use credentials::{CredentialStatus, LoginStep, credentials, keep, login, logout};
pub use demo::{Command as DemoCommand, Demo, demo};
pub use start::{Mounted, start};

use crate::component::Component;
use crate::control::Refused;
use crate::provider::Manifest;
use crate::{shipped, wasm};
use std::path::Path;

/// The components in this binary, by name.
pub fn shipped() -> &'static [(&'static str, &'static [u8])] {
    shipped::SHIPPED
}

/// The names of [`shipped`].
pub fn shipped_names() -> Vec<&'static str> {
    shipped().iter().map(|(name, _)| *name).collect()
}

/// What a component says of itself, read with nothing granted. `cache` holds compiled components.
pub fn describe(name: &str, component: &Component, cache: &Path) -> Result<Manifest, Refused> {
    let engine = wasm::Engine::new().map_err(refused)?;
    let loaded =
        wasm::Component::load(&engine, &component.bytes, name, Some(cache)).map_err(refused)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    runtime.block_on(loaded.describe()).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> Refused {
    Refused { message: error.to_string(), hint: None }
}
