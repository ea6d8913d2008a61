//! The same tree through a FUSE mount of the in-memory file system and on tmpfs, in one run, as
//! ratios: `cargo run -p omnifs-platform --example fuse_bench [TMPFS_DIRECTORY]`.

#[cfg(target_os = "linux")]
fn main() {
    bench::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("FUSE is for Linux");
}

#[cfg(target_os = "linux")]
mod bench {
    use omnifs_platform::fuse::{MountOptions, mount};
    use omnifs_platform::memory::{Memory, New, ROOT};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const DIRECTORIES: usize = 100;
    const FILES: usize = 100;
    const ROUNDS: usize = 7;

    fn content(d: usize, f: usize) -> String {
        format!("directory {d} file {f}\n").repeat(10)
    }

    fn paths(root: &Path) -> Vec<PathBuf> {
        let file = |n: usize| root.join(format!("d{}", n / FILES)).join(format!("f{}", n % FILES));
        (0..DIRECTORIES * FILES).map(file).collect()
    }

    fn stat(root: &Path) {
        paths(root).iter().for_each(|path| assert!(fs::metadata(path).is_ok()));
    }

    fn read(root: &Path) {
        paths(root).iter().for_each(|path| assert!(fs::read(path).is_ok()));
    }

    fn list(root: &Path) {
        let names = |d| fs::read_dir(root.join(format!("d{d}"))).map_or(0, Iterator::count);
        assert_eq!((0..DIRECTORIES).map(names).sum::<usize>(), DIRECTORIES * FILES);
    }

    fn command(root: &Path, line: &[&str]) {
        let status =
            Command::new(line[0]).args(&line[1..]).current_dir(root).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.code() != Some(127)));
    }

    fn timed(run: &dyn Fn(&Path), root: &Path) -> Duration {
        let started = Instant::now();
        run(root);
        started.elapsed()
    }

    pub fn run() {
        let shared: PathBuf = std::env::args_os().nth(1).unwrap_or("/dev/shm".into()).into();
        let tmpfs = tempfile::tempdir_in(shared).expect("a directory on tmpfs");
        let memory = Memory::new();
        for d in 0..DIRECTORIES {
            let name = format!("d{d}");
            let directory = memory.add(ROOT, &name, New::Directory).expect("a new name");
            fs::create_dir(tmpfs.path().join(&name)).expect("mkdir");
            for f in 0..FILES {
                let name = format!("f{f}");
                memory.add(directory, &name, New::file(content(d, f))).expect("a new name");
            }
        }
        for (n, path) in paths(tmpfs.path()).iter().enumerate() {
            fs::write(path, content(n / FILES, n % FILES)).expect("write");
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let point = tempfile::tempdir().expect("a mount point");
        let mut options = MountOptions::default();
        if let Some(threads) =
            std::env::var("OMNIFS_BENCH_THREADS").ok().and_then(|t| t.parse().ok())
        {
            options.threads = threads;
        }
        let mounted = mount(Arc::clone(&memory), point.path(), &options, runtime.handle());
        let _mounted = mounted.unwrap_or_else(|error| panic!("{error}"));

        let find: &dyn Fn(&Path) = &|root| command(root, &["find", ".", "-size", "+1k"]);
        let grep: &dyn Fn(&Path) = &|root| command(root, &["grep", "-r", "no such text", "."]);
        let long: &dyn Fn(&Path) = &|root| command(root, &["ls", "-lR"]);
        let cases = [
            ("stat", &stat as &dyn Fn(&Path)),
            ("open+read+close", &read),
            ("readdir", &list),
            ("ls -lR", long),
            ("find -size", find),
            ("grep -r", grep),
        ];
        println!("{:<16} {:>10} {:>10} {:>7}   requests", "10,000 files", "fuse", "tmpfs", "ratio");
        for (name, case) in cases {
            let _ = fs::write("/proc/sys/vm/drop_caches", "2");
            let before = memory.calls();
            let cold = timed(case, point.path());
            let cost = memory.calls().since(&before);
            println!("{name:<16} {:>8.1}ms {:>10} {:>7}   cold: {cost:?}", ms(cold), "", "");
            case(point.path());
            let mut best = [Duration::MAX; 2];
            let before = memory.calls();
            for _ in 0..ROUNDS {
                for (place, root) in [point.path(), tmpfs.path()].into_iter().enumerate() {
                    best[place] = best[place].min(timed(case, root));
                }
            }
            let requests = memory.calls().since(&before).total() / ROUNDS as u64;
            let ratio = best[0].as_secs_f64() / best[1].as_secs_f64();
            let [fuse, plain] = best.map(ms);
            println!("{name:<16} {fuse:>8.1}ms {plain:>8.1}ms {ratio:>7.2}   warm: {requests}");
        }
    }

    fn ms(time: Duration) -> f64 {
        time.as_secs_f64() * 1e3
    }
}
