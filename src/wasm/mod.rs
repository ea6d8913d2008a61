//! Runs providers as WebAssembly components, in a sandbox.
//!
//! [`Engine`] is the process's one wasmtime engine; [`Component`] a provider's compiled file, linked
//! to what its imports may reach, and [`Deferred`] one that is loaded at its first use; [`Instance`] one mounted provider, which implements
//! [`Provider`](crate::provider::Provider).
//!
//! Invariants:
//! - A fresh instance serves each call, so that nothing leaks from one call to the next and a trap
//!   costs one call.
//! - A component reaches nothing but the functions of `wit/`, clocks, random numbers and stdio
//!   that is closed. One that does not import `http` is never linked to it.
//! - Nothing is compiled before its imports and sizes have been judged.
//! - Whatever a guest does, the call ends within [`Limits`], as an answer that has been checked or as
//!   one [`Failure`](crate::provider::Failure) that names the provider and the cause.

mod artifact;
mod begun;
mod bindings;
mod body;
mod bounds;
mod call;
mod compile;
mod component;
mod convert;
mod deferred;
mod engine;
mod feed;
mod host;
mod instance;
pub mod limits;
mod manifest;
mod meter;
mod text;

pub use call::SAID;
pub use component::{Component, LoadError};
pub use deferred::{Deferred, Source, Unusable};
pub use engine::{Engine, EngineError};
pub use instance::Instance;
pub use limits::Limits;
#[cfg(any(test, fuzzing))]
pub use manifest::fuzzing;
