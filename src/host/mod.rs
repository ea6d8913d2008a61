//! What the commands ask of the rooms below them, in one place.

mod check;
mod credentials;
mod demo;
mod fleet;
mod keep;
mod nfs;
mod relay;
mod reload;
mod report;
mod running;
mod start;
mod status;

pub use check::{Checked, How, Leaf, Tried, check, some};
pub use credentials::{ask_whose, credentials, elsewhere, examine, secret};
pub use demo::{Command as DemoCommand, Demo, Happening, Live, demo};
pub use fleet::{Whose, make_key, permissions, public_key, try_bus};
pub use keep::{Keeping, LoginStep, Ready, Store, edit};
pub use relay::{Relays, relay};
pub use start::{Mounted, start};

use crate::approval;
use crate::component::{self, Component};
use crate::config::Instance;
use crate::control::Refused;
use crate::events::webhook;
use crate::provider::{Failure, Manifest};
use crate::shipped::{self, Packed};
use crate::{declaration, wasm};
use std::path::Path;

/// The components in this binary, by name.
pub fn shipped() -> &'static [Packed] {
    shipped::SHIPPED
}

/// The names of [`shipped`].
pub fn shipped_names() -> Vec<&'static str> {
    shipped().iter().map(|packed| packed.name).collect()
}

/// Names and summaries of the components in this binary of which a mount shows none unasked.
pub fn on_demand() -> impl Iterator<Item = (&'static str, &'static str)> {
    let ships = |name: &str| shipped().iter().any(|packed| packed.name == name);
    shipped::ON_DEMAND.iter().copied().filter(move |(name, _)| ships(name))
}

/// What to enter at the service, so that an instance gets its webhooks: at `public`, where a tunnel or a
/// proxy leads from there, else where the mount listens.
pub fn webhook_address(listening: &str, public: Option<&str>, instance: &str) -> String {
    let path = webhook::path(instance);
    match public {
        Some(url) => format!("{}{path}", url.trim_end_matches('/')),
        None => format!("http://{listening}{path}"),
    }
}

/// What a component says of itself, read with nothing granted. `cache` holds compiled components.
pub fn describe(name: &str, component: &Component, cache: &Path) -> Result<Manifest, Refused> {
    let engine = wasm::Engine::new().map_err(refused)?;
    let loaded =
        wasm::Component::load(&engine, &component.bytes(), name, Some(cache)).map_err(refused)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let described = runtime.block_on(loaded.describe());
    described.map_err(|failure| undescribed(failure, component.is_declared))
}

/// Why a component says nothing of itself. What was made of a file says what is wrong with that.
fn undescribed(failure: Failure, is_declared: bool) -> Refused {
    match is_declared {
        true => {
            refused(format_args!("{}: {}", failure.provider, declaration::why(&failure.detail)))
        }
        false => refused(failure),
    }
}

/// The same of an instance's component, if the user approved it and what it asks for.
pub fn described(instance: &Instance, cache: &Path) -> Result<(Component, Manifest), Refused> {
    let hinted = |error: component::Error| Refused {
        message: error.to_string(),
        hint: error.hint(&instance.name),
    };
    let component = component::approved(instance, shipped()).map_err(hinted)?;
    let manifest = describe(&instance.name, &component, cache)?;
    approval::bind(instance, &manifest).map_err(hinted)?;
    Ok((component, manifest))
}

fn refused(error: impl std::fmt::Display) -> Refused {
    Refused { message: error.to_string(), hint: None }
}
