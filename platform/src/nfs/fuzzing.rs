//! What fuzz/ drives of the wire: a stream of bytes as a client may send it.

use super::handle::LENGTH;
use super::procedures::Outcome;
use super::record::{Broken, MOST, Records};
use super::rpc::Call;
use super::service::READ_MOST;
use super::*;
use crate::memory::{Memory, New, ROOT};
use bytes::Bytes;

const OWNER: u32 = 1000;
/// Only the owner may read it.
const CONTENT: &[u8] = b"the content of a file";

/// A server without a connection.
#[derive(Debug)]
pub struct Wire {
    service: Arc<Service<Memory>>,
    handles: Vec<[u8; LENGTH]>,
    runtime: runtime::Runtime,
}

/// A call of NFS by the owner.
fn call(procedure: u32, args: &[u8]) -> Bytes {
    let head = [7, 0, 2, 100_003, 3, procedure, 1, 20, 0, 0, OWNER, 0, 0, 0, 0];
    let head = head.into_iter().flat_map(u32::to_be_bytes);
    head.chain(args.iter().copied()).collect()
}

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let padding = bytes.len().next_multiple_of(4) - bytes.len();
    [&(bytes.len() as u32).to_be_bytes()[..], bytes, &[0; 3][..padding]].concat()
}

impl Wire {
    /// # Panics
    /// Without a temporary directory, or a thread.
    #[expect(clippy::new_without_default, clippy::unwrap_used)]
    pub fn new() -> Wire {
        let memory = Memory::new();
        let directory = memory.add(ROOT, "d", New::Directory).unwrap();
        memory.add(directory, "f", New::file(CONTENT)).unwrap();
        memory.add(directory, "log", New::volatile(CONTENT)).unwrap();
        let state = std::env::temp_dir().join(format!("omnifs-fuzz-{}", std::process::id()));
        let identity = Identity::load(&state).unwrap();
        let sealer = Sealer::new(&identity.key);
        let positions = Positions::open(&state, sealer.clone(), 1024).unwrap();
        let service = Arc::new(Service {
            objects: Objects::new(memory.clone(), positions, ROOT, 1024, 1),
            vfs: memory,
            uid: OWNER,
            export: Export { owner: Owner { uid: OWNER, gid: OWNER }, fsid: 1 },
            sealer,
            token: "omnifs-fuzz".into(),
            closed: Arc::default(),
            allow_other: false,
            files: Streams::new(4, 1 << 20),
            listings: Streams::new(4, u64::MAX),
        });
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let root = service.sealer.seal(service.objects.root());
        let mut wire = Wire { service, handles: vec![root], runtime };
        for (above, name) in [(0, "d"), (1, "f"), (1, "log")] {
            let args = [opaque(&wire.handles[above]), opaque(name.as_bytes())].concat();
            let Outcome::Reply(reply, _) = wire.answer(call(3, &args)) else { panic!("{name}") };
            // The reply's head, the status, and the handle's length.
            wire.handles.push(reply[32..32 + LENGTH].try_into().unwrap());
        }
        wire
    }

    fn answer(&self, message: Bytes) -> Outcome {
        self.runtime.block_on(self.service.clone().answer(message, 0))
    }

    /// What a client sends, from its first byte on.
    pub fn take(&self, stream: &[u8]) {
        let whole = messages(stream, stream.len().max(1));
        assert_eq!(whole, messages(stream, 1), "the cuts show");
        for message in whole.0 {
            assert!(!message.is_empty() && message.len() <= MOST);
            self.message(self.with_handles(&message));
        }
    }

    /// Handles cannot be made up: what stands where one may be is replaced by a good one.
    fn with_handles(&self, message: &[u8]) -> Bytes {
        let mut message = message.to_vec();
        let mut at = 0;
        while at + 4 + LENGTH <= message.len() {
            let handle = &mut message[at + 4..at + 4 + LENGTH];
            let chosen = self.handles.get(usize::from(handle[0]));
            if let Some(chosen) = chosen
                && message[at..at + 4] == (LENGTH as u32).to_be_bytes()
            {
                message[at + 4..at + 4 + LENGTH].copy_from_slice(chosen);
                at += LENGTH;
            }
            at += 4;
        }
        message.into()
    }

    fn message(&self, message: Bytes) {
        let call = Call::read(&message).ok();
        if let Some(call) = &call {
            assert!(message.ends_with(call.args));
        }
        let uid = call.as_ref().and_then(|call| call.uid);
        let Outcome::Reply(reply, known) = self.answer(message.clone()) else {
            assert!(call.is_none(), "a call has no answer");
            return;
        };
        assert_eq!(reply[..4], message[..4], "another call's number");
        assert_eq!(reply[4..8], 1_u32.to_be_bytes(), "no reply");
        assert!(reply.len() % 4 == 0 && reply.len() <= READ_MOST as usize + 4096);
        if uid != Some(OWNER) {
            assert!(!known);
            let shows = reply.windows(CONTENT.len()).any(|bytes| bytes == CONTENT);
            assert!(!shows, "read by {uid:?}");
        }
    }
}

fn messages(stream: &[u8], size: usize) -> (Vec<Bytes>, Result<(), Broken>) {
    let mut records = Records::default();
    let mut found = Vec::new();
    for chunk in stream.chunks(size) {
        records.input.extend_from_slice(chunk);
        loop {
            match records.next() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(broken) => return (found, Err(broken)),
            }
        }
    }
    (found, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_takes_its_corpus() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/nfs_wire");
        let wire = Wire::new();
        let mut taken = 0;
        for input in std::fs::read_dir(corpus).unwrap() {
            wire.take(&std::fs::read(input.unwrap().path()).unwrap());
            taken += 1;
        }
        assert!(taken > 0);
    }
}
