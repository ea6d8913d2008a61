//! The bus of a fleet: one relay hears of a change, and every mount knows.

pub mod chain;
pub mod keys;
pub mod message;
pub mod names;
