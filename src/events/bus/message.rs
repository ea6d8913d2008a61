//! What a relay says: the message that a scope's subject keeps, and the beat that says it still stands.
//!
//! **Invariant:** nothing of either is believed before its signature fits, over all of it and the key of its
//! scope; so a message that is moved to another subject is none. What cannot be read is a [`Fault`], never a
//! panic.

use super::chain::{Head, Link, WINDOW};
use super::keys::{PublicKey, Signer};
use super::names::Key;
use serde::{Deserialize, Serialize};

/// The version of both formats.
pub const VERSION: u32 = 2;

/// Bytes of a message.
pub const MOST: usize = 64 << 10;

/// Bytes of a sealed cursor. A longer one is left out: a successor then begins anew.
const CURSOR: usize = 16 << 10;

/// Whether the relay hears of what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Live,
    Lost,
}

/// The last that is known of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub v: u32,
    /// Changes so far.
    pub n: u64,
    /// The head before the first change of `win`.
    pub base: Head,
    /// The last changes, the newest at the end: at most [`WINDOW`].
    pub win: Vec<Link>,
    pub state: State,
    /// Where the relay's next poll begins, for relays alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub sig: String,
}

/// The leading relay is there, and this is where the scope stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    pub v: u32,
    pub n: u64,
    pub head: Head,
    pub state: State,
    /// The sequence number of the scope's last message, and how many beats came since: together they only
    /// ever grow, so a beat that is repeated is known as such.
    pub of: u64,
    pub count: u64,
    /// Milliseconds until the next.
    pub every: u64,
    pub sig: String,
}

/// Why something that came over the bus has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    #[error("larger than 64 KiB")]
    TooLarge,
    #[error("not of the form of a message")]
    Malformed,
    #[error("of a version that this omnifs does not know")]
    Version,
    #[error("not signed with the key of a relay that is believed")]
    Signature,
    #[error("its numbers contradict each other")]
    Inconsistent,
}

impl Message {
    /// # Errors
    /// It does not fit, even with one change.
    pub fn signed(mut self, signer: &Signer, key: &Key) -> Result<Vec<u8>, Fault> {
        self.cursor = self.cursor.filter(|cursor| cursor.len() <= CURSOR);
        loop {
            self.sig = signer.sign(&self.said(key));
            let bytes = serde_json::to_vec(&self).map_err(|_| Fault::Malformed)?;
            if bytes.len() <= MOST {
                return Ok(bytes);
            }
            if self.win.is_empty() {
                return Err(Fault::TooLarge);
            }
            // A shorter window: who missed more than it holds has a gap.
            let oldest = self.win.remove(0);
            self.base = self.base.then(&oldest);
        }
    }

    /// # Errors
    /// Nothing of it is to be believed.
    pub fn read(bytes: &[u8], keys: &[PublicKey], key: &Key) -> Result<Message, Fault> {
        let message: Message = parse(bytes)?;
        let said = message.said(key);
        believed(message.v, keys, &said, &message.sig)?;
        let links = message.win.len();
        if links > WINDOW || links as u64 > message.n {
            return Err(Fault::Inconsistent);
        }
        Ok(message)
    }

    fn said(&self, key: &Key) -> Vec<u8> {
        let Message { v, n, base, win, state, cursor, sig: _ } = self;
        said(&("omnifs fleet scope", key.as_str(), v, n, base, win, state, cursor))
    }
}

impl Beat {
    pub fn signed(mut self, signer: &Signer, key: &Key) -> Vec<u8> {
        self.sig = signer.sign(&self.said(key));
        said(&self)
    }

    /// # Errors
    /// Nothing of it is to be believed.
    pub fn read(bytes: &[u8], keys: &[PublicKey], key: &Key) -> Result<Beat, Fault> {
        let beat: Beat = parse(bytes)?;
        believed(beat.v, keys, &beat.said(key), &beat.sig)?;
        if beat.every == 0 {
            return Err(Fault::Inconsistent);
        }
        Ok(beat)
    }

    fn said(&self, key: &Key) -> Vec<u8> {
        let Beat { v, n, head, state, of, count, every, sig: _ } = self;
        said(&("omnifs fleet beat", key.as_str(), v, n, head, state, of, count, every))
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    if bytes.len() > MOST {
        return Err(Fault::TooLarge);
    }
    serde_json::from_slice(bytes).map_err(|_| Fault::Malformed)
}

fn believed(version: u32, keys: &[PublicKey], said: &[u8], signature: &str) -> Result<(), Fault> {
    if version != VERSION {
        return Err(Fault::Version);
    }
    let fits = keys.iter().any(|key| key.verifies(said, signature));
    fits.then_some(()).ok_or(Fault::Signature)
}

/// What is signed: of the values that were read, so that it is the same however they were written.
fn said(values: &impl Serialize) -> Vec<u8> {
    // Strings and numbers, with no map whose keys could be something else: this does not fail.
    serde_json::to_vec(values).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::names::Place;
    use super::*;
    use crate::provider::Change;
    use serde_json::{Value, json};

    fn signer() -> Signer {
        Signer::new(&Signer::generate().unwrap()).unwrap()
    }

    fn key(scope: &str) -> Key {
        Place::new("p", "1.0.0", "o").key(scope)
    }

    fn message(win: Vec<Link>) -> Message {
        Message {
            v: VERSION,
            n: 100,
            base: Head::default(),
            win,
            state: State::Live,
            cursor: Some("sealed".into()),
            sig: String::new(),
        }
    }

    fn links(count: usize, length: usize) -> Vec<Link> {
        let id = |n: usize| format!("{n:0length$}");
        (0..count).map(|n| Link::of(&Change::Invalidated(id(n).into()))).collect()
    }

    #[test]
    fn what_is_signed_is_read_and_the_signature_is_over_the_scope_and_all_of_it() {
        let (signer, other, key, elsewhere) = (signer(), signer(), key("a"), key("b"));
        let keys = [other.public(), signer.public()];
        let bytes = message(links(2, 3)).signed(&signer, &key).unwrap();
        let read = Message::read(&bytes, &keys, &key).unwrap();
        assert_eq!((read.n, read.win.len(), read.cursor.as_deref()), (100, 2, Some("sealed")));
        assert_eq!(Message::read(&bytes, &keys, &elsewhere), Err(Fault::Signature), "moved");
        assert_eq!(Message::read(&bytes, &keys[..1], &key), Err(Fault::Signature), "another key");
        assert_eq!(Message::read(&bytes, &[], &key), Err(Fault::Signature));
        let plain: Value = serde_json::from_slice(&bytes).unwrap();
        let head = "1".repeat(64);
        let others = [
            ("n", json!(101)),
            ("base", json!(head)),
            ("win", json!([["gap", "000"], ["invalidated", "001"]])),
            ("win", json!([])),
            ("state", json!("lost")),
            ("cursor", json!("another")),
            ("cursor", Value::Null),
        ];
        for (field, value) in others {
            let mut forged = plain.clone();
            forged[field] = value;
            let forged = serde_json::to_vec(&forged).unwrap();
            assert_eq!(Message::read(&forged, &keys, &key), Err(Fault::Signature), "{field}");
        }
    }

    #[test]
    fn a_beat_is_signed_like_a_message_and_passes_for_none() {
        let (signer, key, elsewhere) = (signer(), key("a"), key("b"));
        let keys = [signer.public()];
        let beat = Beat {
            v: VERSION,
            n: 7,
            head: Head::default(),
            state: State::Live,
            of: 3,
            count: 1,
            every: 5_000,
            sig: String::new(),
        };
        let bytes = beat.clone().signed(&signer, &key);
        assert_eq!(Beat::read(&bytes, &keys, &key).unwrap().n, 7);
        assert_eq!(Beat::read(&bytes, &keys, &elsewhere), Err(Fault::Signature));
        assert_eq!(Message::read(&bytes, &keys, &key), Err(Fault::Malformed));
        let mut forged: Value = serde_json::from_slice(&bytes).unwrap();
        forged["count"] = json!(2);
        let forged = serde_json::to_vec(&forged).unwrap();
        assert_eq!(Beat::read(&forged, &keys, &key), Err(Fault::Signature));
        let never = Beat { every: 0, ..beat }.signed(&signer, &key);
        assert_eq!(Beat::read(&never, &keys, &key), Err(Fault::Inconsistent));
    }

    #[test]
    fn what_cannot_be_read_is_a_reason() {
        let (signer, key) = (signer(), key("a"));
        let keys = [signer.public()];
        let read = |bytes: &[u8]| Message::read(bytes, &keys, &key);
        for odd in [&b""[..], b"{", b"null", b"[]", b"{}", b"\xff", b"{\"v\":1}"] {
            assert_eq!(read(odd), Err(Fault::Malformed));
        }
        assert_eq!(read(&vec![b' '; MOST + 1]), Err(Fault::TooLarge));
        let later =
            Message { v: VERSION + 1, ..message(Vec::new()) }.signed(&signer, &key).unwrap();
        assert_eq!(read(&later), Err(Fault::Version));
        let long = message(links(WINDOW + 1, 3)).signed(&signer, &key).unwrap();
        assert_eq!(read(&long), Err(Fault::Inconsistent));
        let more = Message { n: 1, ..message(links(2, 3)) }.signed(&signer, &key).unwrap();
        assert_eq!(read(&more), Err(Fault::Inconsistent));
        let mut unknown: Value =
            serde_json::from_slice(&message(Vec::new()).signed(&signer, &key).unwrap()).unwrap();
        unknown["more"] = json!(1);
        assert_eq!(read(&serde_json::to_vec(&unknown).unwrap()), Err(Fault::Malformed));
    }

    #[test]
    fn a_message_that_would_be_too_large_has_a_shorter_window() {
        let (signer, key) = (signer(), key("a"));
        let whole = message(links(WINDOW, 2_000));
        let head = whole.win.iter().fold(whole.base, |head, link| head.then(link));
        let bytes = whole.signed(&signer, &key).unwrap();
        assert!(bytes.len() <= MOST);
        let read = Message::read(&bytes, &[signer.public()], &key).unwrap();
        assert!(read.win.len() < WINDOW && read.win.len() > 20, "{}", read.win.len());
        assert_eq!(read.win.iter().fold(read.base, |head, link| head.then(link)), head);
        let long = Message { cursor: Some("x".repeat(CURSOR + 1)), ..message(links(1, 3)) };
        let bytes = long.signed(&signer, &key).unwrap();
        assert_eq!(Message::read(&bytes, &[signer.public()], &key).unwrap().cursor, None);
    }
}
