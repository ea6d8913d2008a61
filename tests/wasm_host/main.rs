//! The wasm host against real components: the hostile one, and some made by hand.

#![allow(clippy::unwrap_used)]

mod feeds;
mod hostile;
mod load;
mod overhead;
mod sandbox;
mod secrets;
mod sizes;
mod support;
