//! What fuzz/ drives of the private parts. Each function takes whatever bytes there are and panics where
//! an invariant of its module does not hold.

pub use crate::config::fuzzing as config;
pub use crate::events::webhook::fuzzing as webhook;
pub use crate::growing::fuzzing as growing;
pub use crate::wasm::fuzzing as manifest;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Feeds a target all that is committed for it.
    fn feed(target: &str, take: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let inputs = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
        let inputs: Vec<_> = inputs.map(|path| std::fs::read(path).unwrap()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|input| take(input));
    }

    #[test]
    fn each_target_takes_its_corpus() {
        let text = |take: fn(&str)| move |input: &[u8]| take(std::str::from_utf8(input).unwrap());
        feed("configuration", text(super::config::file));
        feed("manifest", text(super::manifest::manifest));
        feed("records", super::growing::records);
        feed("webhook", super::webhook::delivery);
    }
}
