//! A mount in containers: a real engine asks the plugin for volumes, and containers read one daemon's tree.

#![cfg(target_os = "linux")]

mod image;
mod kubernetes;
mod volumes;
mod world;
