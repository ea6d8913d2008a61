//! Lines for `omnifs logs`.

use crate::bindings::service::omnifs::provider::log::Level;
use crate::host;

pub fn error(message: &str) {
    host::log(Level::Error, message);
}

pub fn warn(message: &str) {
    host::log(Level::Warn, message);
}

pub fn info(message: &str) {
    host::log(Level::Info, message);
}

pub fn debug(message: &str) {
    host::log(Level::Debug, message);
}
