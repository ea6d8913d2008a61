//! The core and the binary behind a real mount, without a service: capacity, hostile providers,
//! approval, and the life of a mount.

#![cfg(target_os = "linux")]

mod capacity;
mod example;
mod hostile;
mod life;
mod metrics;
mod writes;
