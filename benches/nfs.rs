//! `cargo xtask bench`: what a GETATTR costs by NFS, beside what it costs by FUSE.
//!
//! The same object of the same core, asked for again and again on one connection, each call after
//! the last one's answer. By FUSE the kernel is told not to answer from its cache; that call crosses
//! the kernel, where NFS's crosses the loopback interface.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("DID NOT RUN: this benchmark compares with the FUSE back end, on Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use omnifs::cache::Capacity;
    use omnifs::events::Ledger;
    use omnifs::router::{Instance, Router};
    use omnifs::runtime::Runtime;
    use omnifs_memory::{Memory, ROOT, SCOPE, Style};
    use omnifs_platform::{fuse, nfs};
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const CALLS: usize = 200_000;
    const THOUSAND: usize = 1000;
    /// GETATTRs per second on one connection.
    const AIM: f64 = 15_000.0;
    /// Calls on their way at a time: few, for a kernel's client.
    const IN_FLIGHT: usize = 8;
    /// How much slower the last thousand may be than the first.
    const DRIFT: f64 = 1.25;
    const TURNS: usize = 20;

    const NFS: u32 = 100_003;
    const MOUNT: u32 = 100_005;
    const GETATTR: u32 = 1;
    const LOOKUP: u32 = 3;
    const MNT: u32 = 1;

    fn core(tokio: &tokio::runtime::Runtime) -> Arc<Runtime> {
        let upstream = Memory::new(Style::default());
        upstream.file(ROOT, "f", "id", b"content\n");
        let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream) };
        let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let (router, capacity) = (Router::new(vec![instance]), Capacity::default());
        let runtime = Runtime::new(router, capacity, epoch, tokio.handle().clone());
        runtime.up("m", SCOPE);
        runtime
    }

    /// Just enough of a client.
    struct Client {
        stream: TcpStream,
        uid: u32,
    }

    impl Client {
        fn message(&self, program: u32, procedure: u32, args: &[u8]) -> Vec<u8> {
            // xid, CALL, RPC version 2, program, version 3, procedure; AUTH_SYS of 20 bytes: stamp,
            // no machine name, uid, gid, no groups; no verifier.
            let head = [7, 0, 2, program, 3, procedure, 1, 20, 0, 0, self.uid, 0, 0, 0, 0];
            let body: Vec<u8> = head.into_iter().flat_map(u32::to_be_bytes).collect();
            let length = (body.len() + args.len()) as u32 | 1 << 31;
            [&length.to_be_bytes()[..], &body, args].concat()
        }

        /// The result's bytes after its status, which must be 0.
        fn call<'a>(&mut self, message: &[u8], reply: &'a mut Vec<u8>) -> &'a [u8] {
            self.stream.write_all(message).expect("send");
            self.receive(reply)
        }

        fn receive<'a>(&mut self, reply: &'a mut Vec<u8>) -> &'a [u8] {
            let mut mark = [0; 4];
            self.stream.read_exact(&mut mark).expect("receive");
            reply.resize((u32::from_be_bytes(mark) & !(1 << 31)) as usize, 0);
            self.stream.read_exact(reply).expect("receive");
            // xid, REPLY, accepted, no verifier, SUCCESS, and the status.
            assert_eq!(reply[4..28], [1_u32, 0, 0, 0, 0, 0].map(u32::to_be_bytes).concat());
            &reply[28..]
        }
    }

    /// With its length before it and padding behind.
    fn opaque(bytes: &[u8]) -> Vec<u8> {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        [&(bytes.len() as u32).to_be_bytes()[..], bytes, &[0; 3][..padding]].concat()
    }

    fn handle(result: &[u8]) -> Vec<u8> {
        let length = u32::from_be_bytes(result[..4].try_into().expect("a length")) as usize;
        result[4..4 + length].to_vec()
    }

    /// A server, and a client that asks it for the attributes of one file.
    struct Asked {
        client: Client,
        getattr: Vec<u8>,
        reply: Vec<u8>,
        _server: (nfs::Server, tempfile::TempDir),
    }

    impl Asked {
        fn new(runtime: &Arc<Runtime>, tokio: &tokio::runtime::Runtime) -> Asked {
            let state = tempfile::tempdir().expect("a directory");
            let options = nfs::Options::new(state.path().join("nfs"));
            let server = nfs::serve(runtime.clone(), &options, tokio.handle()).expect("serve");
            let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connect");
            stream.set_nodelay(true).expect("nodelay");
            let mut client = Client { stream, uid: options.uid };
            let mut reply = Vec::new();
            let mount = client.message(MOUNT, MNT, &opaque(server.export().as_bytes()));
            let mut at = handle(client.call(&mount, &mut reply));
            for name in ["m", "f"] {
                let args = [opaque(&at), opaque(name.as_bytes())].concat();
                let lookup = client.message(NFS, LOOKUP, &args);
                at = handle(client.call(&lookup, &mut reply));
            }
            let getattr = client.message(NFS, GETATTR, &opaque(&at));
            Asked { client, getattr, reply, _server: (server, state) }
        }

        fn ask(&mut self) {
            assert_eq!(self.client.call(&self.getattr, &mut self.reply).len(), 84);
        }

        /// All calls, so many at a time on their way, as a kernel's client has them. Calls a second.
        fn together(&mut self) -> f64 {
            let calls = self.getattr.repeat(IN_FLIGHT);
            let start = Instant::now();
            for _ in 0..CALLS / IN_FLIGHT {
                self.client.stream.write_all(&calls).expect("send");
                for _ in 0..IN_FLIGHT {
                    assert_eq!(self.client.receive(&mut self.reply).len(), 84);
                }
            }
            CALLS as f64 / start.elapsed().as_secs_f64()
        }

        fn thousand(&mut self) -> Duration {
            let start = Instant::now();
            (0..THOUSAND).for_each(|_| self.ask());
            start.elapsed()
        }
    }

    /// The time of each thousand, and how much slower a thousand is after all of them than on a new
    /// connection to a new server. The machine itself changes its pace by more than that within a
    /// run, so the two take turns, and the best of each counts.
    fn by_nfs(
        runtime: &Arc<Runtime>,
        tokio: &tokio::runtime::Runtime,
    ) -> (Vec<Duration>, f64, f64) {
        let mut old = Asked::new(runtime, tokio);
        let times = timed(|| old.ask());
        let mut best = [Duration::MAX; 2];
        let mut new = Asked::new(runtime, tokio);
        for _ in 0..TURNS {
            best[0] = best[0].min(old.thousand());
            best[1] = best[1].min(new.thousand());
        }
        (times, best[0].as_secs_f64() / best[1].as_secs_f64(), old.together())
    }

    fn by_fuse(runtime: &Arc<Runtime>, tokio: &tokio::runtime::Runtime) -> Vec<Duration> {
        use rustix::fs::{AtFlags, StatxFlags, statx};
        let point = tempfile::tempdir().expect("a mount point");
        let options = fuse::MountOptions::default();
        let mounted = fuse::mount(runtime.clone(), point.path(), &options, tokio.handle());
        let mounted = mounted.expect("mount (root, or fuse3)");
        let file = File::open(point.path().join("m/f")).expect("open");
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let times = timed(|| {
            let found = statx(&file, "", flags, StatxFlags::BASIC_STATS).expect("statx");
            assert_eq!(found.stx_size, 8);
        });
        drop((file, mounted));
        times
    }

    /// How long each thousand of the calls took.
    fn timed(mut call: impl FnMut()) -> Vec<Duration> {
        (0..CALLS / THOUSAND)
            .map(|_| {
                let start = Instant::now();
                (0..THOUSAND).for_each(|_| call());
                start.elapsed()
            })
            .collect()
    }

    pub fn main() {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
        let runtime = core(&tokio);
        println!("{CALLS} GETATTRs, one after the other:");
        let told = |name: &str, times: &[Duration]| {
            let micros = |time: Duration| time.as_secs_f64() * 1e6 / THOUSAND as f64;
            let total: Duration = times.iter().sum();
            let rate = CALLS as f64 / total.as_secs_f64();
            let (first, last) = (micros(times[0]), micros(times[times.len() - 1]));
            println!(
                "  by {name}: {rate:.0} a second; first thousand {first:.1} us, last {last:.1} us"
            );
            rate
        };
        if fuse::check(false).is_ok() {
            told("FUSE, past the kernel's cache", &by_fuse(&runtime, &tokio));
        } else {
            eprintln!("DID NOT RUN: the comparison with FUSE, which cannot be mounted here");
        }
        let (times, drift, together) = by_nfs(&runtime, &tokio);
        let rate = told("NFS, on one connection", &times);
        let verdict = |met| if met { "met" } else { "MISSED" };
        println!("  aim >= {AIM} a second: {}", verdict(rate >= AIM));
        println!("  by NFS, on one connection, {IN_FLIGHT} on their way: {together:.0} a second");
        println!("  aim >= {AIM} a second: {}", verdict(together >= AIM));
        println!(
            "  aim the last thousand <= {DRIFT} x a first one in turns: {} ({drift:.2})",
            verdict(drift <= DRIFT)
        );
    }
}
