//! What fuzz/ drives of the private parts. Each function takes whatever bytes there are and panics where
//! an invariant of its module does not hold.

pub use crate::config::fuzzing as config;
pub use crate::events::webhook::fuzzing as webhook;
pub use crate::growing::fuzzing as growing;
pub use crate::wasm::fuzzing as manifest;
