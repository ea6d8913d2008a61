//! What a kernel keeps, and the messages that it sends and takes (include/uapi/linux/fuse.h).

use rustix::net::{RecvFlags, SendFlags};
use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const READ: u32 = 15;
pub const INIT: u32 = 26;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a kernel waits for.
#[derive(Debug)]
pub enum Asked {
    Lookup {
        parent: u64,
        name: String,
        known: Option<u64>,
        version: u64,
    },
    Attributes {
        node: u64,
        version: u64,
    },
    /// By somebody who waits for it.
    Reply {
        node: u64,
    },
}

/// A message: its number, its error or notification code, and what follows.
#[derive(Debug)]
pub struct Message {
    unique: u64,
    pub code: i32,
    body: Vec<u8>,
}

impl Message {
    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.body[at..at + 8].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> usize {
        u32::from_ne_bytes(self.body[at..at + 4].try_into().unwrap()) as usize
    }

    fn name(&self, at: usize, length: usize) -> String {
        String::from_utf8(self.body[at..at + length].to_vec()).unwrap()
    }
}

#[derive(Debug)]
pub struct Kernel {
    socket: OwnedFd,
    unique: u64,
    pub asked: HashMap<u64, Asked>,
    replies: HashMap<u64, Message>,
    /// Notifications that wait for a lock, in their order.
    pub waiting: Vec<Message>,
    /// Moves with each invalidation.
    version: u64,
    invalidated: HashMap<u64, u64>,
    /// Names that may be kept; `None`: absent.
    pub names: HashMap<(u64, String), Option<u64>>,
    /// Names that it knows, kept or not.
    pub known: HashMap<(u64, String), u64>,
    /// Sizes that may be kept, in bytes.
    pub sizes: HashMap<u64, u64>,
    pub pages: HashMap<u64, Vec<u8>>,
    pub held: BTreeSet<u64>,
    pub told: HashMap<(u64, String), u64>,
}

impl Kernel {
    pub fn new(socket: OwnedFd) -> Kernel {
        Kernel {
            socket,
            unique: 0,
            asked: HashMap::new(),
            replies: HashMap::new(),
            waiting: Vec::new(),
            version: 0,
            invalidated: HashMap::new(),
            names: HashMap::new(),
            known: HashMap::new(),
            sizes: HashMap::new(),
            pages: HashMap::new(),
            held: BTreeSet::from([1]),
            told: HashMap::new(),
        }
    }

    fn send(&mut self, opcode: u32, node: u64, body: &[u8]) -> u64 {
        self.unique += 2;
        let mut message = Vec::new();
        message.extend((40 + body.len() as u32).to_ne_bytes());
        message.extend(opcode.to_ne_bytes());
        message.extend(self.unique.to_ne_bytes());
        message.extend(node.to_ne_bytes());
        message.extend(rustix::process::geteuid().as_raw().to_ne_bytes());
        message.extend(rustix::process::getegid().as_raw().to_ne_bytes());
        message.extend(std::process::id().to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty()).unwrap();
        self.unique
    }

    /// Takes a message, if there is one.
    pub fn receive(&mut self) -> bool {
        let mut buffer = vec![0; 1 << 17];
        let flags = RecvFlags::DONTWAIT;
        let Ok((_, length)) = rustix::net::recv(&self.socket, &mut buffer[..], flags) else {
            return false;
        };
        let head = |at: usize| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
        let unique = u64::from_ne_bytes(buffer[8..16].try_into().unwrap());
        let code = head(4) as i32;
        let message = Message { unique, code, body: buffer[16..length].to_vec() };
        match message.unique {
            0 => self.waiting.push(message),
            _ => self.answered(message),
        }
        // What waited for a lock gets it now.
        for message in std::mem::take(&mut self.waiting) {
            if self.is_locked_against(&message) {
                self.waiting.push(message);
            } else {
                self.notified(&message);
            }
        }
        true
    }

    fn is_locked_against(&self, message: &Message) -> bool {
        let node = message.u64(0);
        self.asked.values().any(|asked| match asked {
            Asked::Lookup { parent, known: None, .. } => message.code != 2 && *parent == node,
            Asked::Reply { node: of } => message.code == 2 && *of == node,
            _ => false,
        })
    }

    fn notified(&mut self, message: &Message) {
        let node = message.u64(0);
        let key = match message.code {
            2 => {
                self.version += 1;
                self.invalidated.insert(node, self.version);
                self.sizes.remove(&node);
                if message.u64(8) as i64 >= 0 {
                    self.pages.remove(&node);
                }
                return;
            }
            3 => (node, message.name(16, message.u32(8))),
            6 => (node, message.name(24, message.u32(16))),
            _ => return,
        };
        self.names.remove(&key);
        *self.told.entry(key).or_default() += 1;
    }

    /// Keeps a size as far as it may be kept.
    fn keep_size(&mut self, node: u64, size: u64, kept: bool, asked_at: u64) {
        if self.invalidated.get(&node).is_some_and(|at| *at > asked_at) {
            return;
        }
        match kept {
            true => self.sizes.insert(node, size),
            false => self.sizes.remove(&node),
        };
    }

    fn answered(&mut self, message: Message) {
        match self.asked.remove(&message.unique) {
            Some(Asked::Lookup { parent, name, known, version }) => {
                let key = (parent, name);
                self.names.remove(&key);
                self.known.remove(&key);
                if message.code != 0 {
                    return;
                }
                let (node, kept) = (message.u64(0), message.u64(16) > 0);
                if node == 0 {
                    if kept {
                        self.names.insert(key, None);
                    }
                    return;
                }
                self.held.insert(node);
                if known.is_some_and(|known| known != node) {
                    // Not what it knew: it gives that back, and asks again at the next use.
                    self.send(FORGET, node, &1_u64.to_ne_bytes());
                    return;
                }
                if kept {
                    self.names.insert(key.clone(), Some(node));
                }
                self.known.insert(key, node);
                self.keep_size(node, message.u64(48), message.u64(24) > 0, version);
            }
            Some(Asked::Attributes { node, version }) if message.code == 0 => {
                self.keep_size(node, message.u64(24), message.u64(0) > 0, version);
            }
            Some(Asked::Reply { .. }) => drop(self.replies.insert(message.unique, message)),
            Some(Asked::Attributes { .. }) | None => {}
        }
    }

    pub fn lookup(&mut self, parent: u64, name: &str) {
        let key = (parent, name.to_owned());
        // Who asks for a name that somebody asks for waits for that answer.
        let same = |asked: &Asked| matches!(asked, Asked::Lookup { parent: of, name: known, .. } if (*of, known) == (parent, &key.1));
        if self.names.contains_key(&key) || self.asked.values().any(same) {
            return;
        }
        let known = self.known.get(&key).copied();
        let unique = self.send(LOOKUP, parent, format!("{name}\0").as_bytes());
        let asked = Asked::Lookup { parent, name: key.1, known, version: self.version };
        self.asked.insert(unique, asked);
    }

    pub fn attributes(&mut self, node: u64) {
        let unique = self.send(GETATTR, node, &[0; 16]);
        self.asked.insert(unique, Asked::Attributes { node, version: self.version });
    }

    /// Asks and waits.
    pub fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Message {
        let unique = self.send(opcode, node, body);
        self.asked.insert(unique, Asked::Reply { node });
        self.until("an answer", |kernel| kernel.replies.contains_key(&unique));
        self.replies.remove(&unique).unwrap()
    }

    pub fn until(&mut self, what: &str, done: impl Fn(&Kernel) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited for {what}: {:?}", self.asked);
            if !self.receive() {
                thread::yield_now();
            }
        }
    }

    /// Reads a file that it opens by itself.
    pub fn read(&mut self, node: u64) {
        if !self.pages.contains_key(&node) {
            let mut body = Vec::new();
            body.extend([0; 8]);
            body.extend(0_u64.to_ne_bytes());
            body.extend(4096_u32.to_ne_bytes());
            body.extend([0; 20]);
            let read = self.ask(READ, node, &body);
            if read.code != 0 {
                // It is gone.
                return;
            }
            self.pages.insert(node, read.body);
            // What waited for the read.
            self.receive();
        }
    }
}
