//! `cargo xtask bench`: the same tree through the mount and on tmpfs, in one run, as ratios.
//!
//! The tree is 10,000 small files from a provider in memory, so what is measured is omnifs and the
//! kernel, not a service. Prints a table, and writes JSON to the file that `OMNIFS_BENCH_JSON`
//! names. Each figure is the best of several rounds: noise only ever adds.

#[cfg(target_os = "linux")]
mod linux {
    use omnifs::cache::Capacity;
    use omnifs::events::Ledger;
    use omnifs::router::{Instance, Router};
    use omnifs::runtime::Runtime;
    use omnifs_memory::{Memory, ROOT, SCOPE, Style};
    use omnifs_platform::Vfs;
    use omnifs_platform::fuse::{MountOptions, Mounted, mount};
    use omnifs_support::{Omnifs, user};
    use serde_json::json;
    use std::fs;
    use std::hint::black_box;
    use std::io::Read;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const DIRECTORIES: usize = 100;
    const FILES: usize = 100;
    const ROUNDS: usize = 25;
    /// Mounts of which the first looks are measured.
    const FRESH: usize = 5;

    fn content(directory: usize, file: usize) -> String {
        format!(
            "file {file} of directory {directory}\n{}\n",
            "some words to search through. ".repeat(5)
        )
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Row {
        name: String,
        omnifs: f64,
        tmpfs: Option<f64>,
        unit: String,
        aim: Option<(f64, String)>,
    }

    /// The best of some rounds.
    fn best(rounds: usize, mut work: impl FnMut()) -> Duration {
        (0..rounds)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed()
            })
            .min()
            .unwrap_or_default()
    }

    fn paths(root: &Path) -> Vec<PathBuf> {
        (0..DIRECTORIES)
            .flat_map(|d| (0..FILES).map(move |f| format!("d{d:03}/f{f:03}.txt")))
            .map(|name| root.join(name))
            .collect()
    }

    fn core(
        style: Style,
        capacity: Capacity,
        tokio: &tokio::runtime::Runtime,
    ) -> (Arc<Runtime>, Arc<Memory>) {
        let upstream = Memory::new(style);
        let instance =
            Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
        let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let router = Router::new(vec![instance]);
        (Runtime::new(router, capacity, epoch, tokio.handle().clone()), upstream)
    }

    /// Resident bytes of this process.
    fn resident() -> f64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or_default() * 1024.0
    }

    fn grep(directory: &Path) {
        let status = Command::new("grep")
            .args(["-r", "--exclude-dir=busy", "no such words here", "."])
            .current_dir(directory)
            .stdout(Stdio::null())
            .status()
            .expect("grep");
        assert_eq!(status.code(), Some(1), "grep finds nothing and no error");
    }

    struct Tree {
        mount: PathBuf,
        tmpfs: PathBuf,
    }

    impl Tree {
        fn both(
            &self,
            name: &'static str,
            per: usize,
            aim: Option<f64>,
            work: impl Fn(&Path),
        ) -> Row {
            work(&self.mount);
            work(&self.tmpfs);
            // Alternating, so that a change of the machine's speed meets both.
            let (mut omnifs, mut tmpfs) = (Duration::MAX, Duration::MAX);
            for _ in 0..ROUNDS {
                tmpfs = tmpfs.min(best(1, || work(&self.tmpfs)));
                omnifs = omnifs.min(best(1, || work(&self.mount)));
            }
            let micros = |d: Duration| d.as_secs_f64() * 1e6 / per as f64;
            Row {
                name: name.into(),
                omnifs: micros(omnifs),
                tmpfs: Some(micros(tmpfs)),
                unit: "us".into(),
                aim: aim.map(|aim| (aim, "x tmpfs".into())),
            }
        }
    }

    fn against_tmpfs(tokio: &tokio::runtime::Runtime, rows: &mut Vec<Row>) {
        let (runtime, upstream) = core(Style::default(), Capacity::default(), tokio);
        runtime.up("m", SCOPE);
        // Both trees have the same paths, below directories beside each other: the kernel walks as
        // many components to the one as to the other.
        let shared = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
        let tmpfs = shared.path().join("m");
        fs::create_dir(&tmpfs).expect("mkdir");
        for d in 0..DIRECTORIES {
            let directory = format!("d{d:03}");
            upstream.directory(ROOT, &directory, &directory);
            fs::create_dir(tmpfs.join(&directory)).expect("mkdir");
            for f in 0..FILES {
                let (name, text) = (format!("f{f:03}.txt"), content(d, f));
                upstream.file(&directory, &name, &format!("{directory}/{name}"), text.as_bytes());
                fs::write(tmpfs.join(&directory).join(name), text).expect("write");
            }
        }
        let point = tempfile::tempdir_in("/dev/shm").expect("a mount point");
        let tree = Tree { mount: point.path().join("m"), tmpfs };

        let files = DIRECTORIES * FILES;
        let timed = |root| best(1, || grep(root)).as_secs_f64() * 1e6 / files as f64;
        let [mut cold, mut second, mut on_tmpfs] = [f64::INFINITY; 3];
        for _ in 0..FRESH {
            // A kernel that holds nothing of it.
            let _mounted = mounted(&runtime, point.path(), tokio);
            cold = cold.min(timed(&tree.mount));
            second = second.min(timed(&tree.mount));
            on_tmpfs = on_tmpfs.min(timed(&tree.tmpfs));
        }
        let mounted = mounted(&runtime, point.path(), tokio);
        rows.push(Row {
            name: "first grep -r of a mount, per file".into(),
            omnifs: cold,
            tmpfs: None,
            unit: "us".into(),
            aim: None,
        });
        rows.push(Row {
            name: "second grep -r, per file".into(),
            omnifs: second,
            tmpfs: Some(on_tmpfs),
            unit: "us".into(),
            aim: Some((1.2, "x tmpfs".into())),
        });

        rows.push(tree.both("warm stat", files, Some(1.15), |root| {
            for path in paths(root) {
                black_box(fs::metadata(path).expect("stat"));
            }
        }));
        rows.push(tree.both("warm open, read, close", files, Some(1.3), |root| {
            let mut buffer = Vec::with_capacity(4096);
            for path in paths(root) {
                buffer.clear();
                fs::File::open(path).expect("open").read_to_end(&mut buffer).expect("read");
                black_box(&buffer);
            }
        }));
        rows.push(tree.both("warm readdir, per entry", files, Some(0.7), |root| {
            for d in 0..DIRECTORIES {
                let entries = fs::read_dir(root.join(format!("d{d:03}"))).expect("readdir");
                assert_eq!(entries.count(), FILES);
            }
        }));
        rows.push(tree.both("warm grep -r, per file", files, Some(1.2), grep));
        // The root of an instance is listed anew at each open; nothing below it is asked for.
        let calls = upstream.calls();
        grep(&tree.mount);
        let asked = upstream.calls() - calls;
        assert!(asked <= 2, "warm means that nothing is asked, and there were {asked} calls");
        beside_events(&tree, &runtime, &upstream, rows);
        drop(mounted);
    }

    /// A feed that tells of changes elsewhere costs a walk nothing.
    fn beside_events(tree: &Tree, runtime: &Arc<Runtime>, upstream: &Memory, rows: &mut Vec<Row>) {
        upstream.directory(ROOT, "busy", "busy");
        upstream.file("busy", "f", "busy/f", b"x");
        /// Ends the feed however the measurement ends.
        struct Until<'a>(&'a AtomicBool);
        impl Drop for Until<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = AtomicBool::new(false);
        let row = thread::scope(|scope| {
            let _until = Until(&over);
            scope.spawn(|| {
                for n in 0u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let told = upstream.set("busy/f", n.to_string().as_bytes());
                    runtime.apply("m", &told);
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let name = "warm grep -r beside 1,000 events/s, per file";
            tree.both(name, DIRECTORIES * FILES, Some(1.2), grep)
        });
        rows.push(row);
    }

    fn mounted(runtime: &Arc<Runtime>, point: &Path, tokio: &tokio::runtime::Runtime) -> Mounted {
        // As it is mounted where nobody says otherwise.
        let options = MountOptions { watch_events: true, ..MountOptions::default() };
        mount(runtime.clone(), point, &options, tokio.handle()).expect("mount (root, or fuse3)")
    }

    /// A cold read of each of 10,000 files, one after the other: the last as fast as the first.
    fn cold_reads(tokio: &tokio::runtime::Runtime, rows: &mut Vec<Row>) {
        let (runtime, upstream) = core(Style::default(), Capacity::default(), tokio);
        runtime.up("m", SCOPE);
        for n in 0..10_000 {
            upstream.file(ROOT, &format!("f{n}"), &format!("id{n}"), b"cold content\n");
        }
        let point = tempfile::tempdir().expect("a mount point");
        let mounted = mounted(&runtime, point.path(), tokio);
        let times: Vec<f64> = (0..10_000)
            .map(|n| {
                let path = point.path().join(format!("m/f{n}"));
                let start = Instant::now();
                black_box(fs::read(path).expect("read"));
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        let median = |times: &[f64]| {
            let mut sorted = times.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let (first, last) = (median(&times[..1000]), median(&times[9000..]));
        rows.push(Row {
            name: "cold read (lookup, open, read), median".into(),
            omnifs: median(&times),
            tmpfs: None,
            unit: "us".into(),
            aim: Some((500.0, "us".into())),
        });
        rows.push(Row {
            name: "  the last 1,000 against the first".into(),
            omnifs: last / first,
            tmpfs: None,
            unit: "x".into(),
            aim: Some((1.2, "x".into())),
        });
        drop(mounted);
    }

    /// Memory of 100,000 cached nodes: listings of 1,000 directories, without handles.
    fn memory(tokio: &tokio::runtime::Runtime, rows: &mut Vec<Row>) {
        let (runtime, upstream) = core(Style::default(), Capacity::default(), tokio);
        runtime.up("m", SCOPE);
        for d in 0..1000 {
            let directory = format!("d{d:04}");
            upstream.directory(ROOT, &directory, &directory);
            for f in 0..100 {
                upstream.file(&directory, &format!("f{f}"), &format!("{directory}/{f}"), b"x");
            }
        }
        let before = resident();
        tokio.block_on(async {
            let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("there");
            for d in 0..1000 {
                let name = format!("d{d:04}");
                let entry =
                    runtime.lookup(top.handle, &name).await.expect("lookup").expect("there");
                let open = runtime.opendir(entry.handle).await.expect("opendir");
                runtime.release(open.id);
                runtime.forget(entry.handle, 1);
            }
        });
        let held = runtime.snapshot().held.nodes;
        assert!(held >= 100_000, "{held} nodes are cached");
        let each = (resident() - before) / held as f64;
        rows.push(Row {
            name: "resident bytes per cached node".into(),
            omnifs: each,
            tmpfs: None,
            unit: "B".into(),
            aim: Some((1024.0, "B".into())),
        });
    }

    /// One call of a sandboxed provider, its fresh instance included.
    fn provider_call(tokio: &tokio::runtime::Runtime, rows: &mut Vec<Row>) {
        let Some(component) =
            std::env::var_os("OMNIFS_COMPONENTS").map(|dir| PathBuf::from(dir).join("hello.wasm"))
        else {
            eprintln!(
                "DID NOT RUN: provider call: OMNIFS_COMPONENTS is not set; run cargo xtask bench"
            );
            return;
        };
        let cache = tempfile::tempdir().expect("a cache directory");
        let engine = omnifs::wasm::Engine::new().expect("an engine");
        let bytes = fs::read(&component).expect("cargo xtask components builds hello.wasm");
        let component = omnifs::wasm::Component::load(&engine, &bytes, "hello", Some(cache.path()))
            .expect("load");
        let manifest = tokio.block_on(component.describe()).expect("describe");
        let provider = omnifs::wasm::Instance::new(
            "hello",
            component,
            &manifest,
            &std::collections::BTreeMap::new(),
            None,
            omnifs::wasm::Limits::default(),
        );
        let root = manifest.root;
        tokio.block_on(async {
            use omnifs::provider::Provider;
            for _ in 0..200 {
                provider.list_children(&root).await.expect("list");
            }
            let rounds = 2000;
            let mut least = Duration::MAX;
            for _ in 0..5 {
                let start = Instant::now();
                for _ in 0..rounds {
                    black_box(provider.list_children(&root).await.expect("list"));
                }
                least = least.min(start.elapsed() / rounds);
            }
            rows.push(Row {
                name: "provider call with its fresh instance".into(),
                omnifs: least.as_secs_f64() * 1e6,
                tmpfs: None,
                unit: "us".into(),
                aim: Some((40.0, "us".into())),
            });
        });
    }

    /// The same mount as an ordinary user has it: the kernel takes it for a writable one.
    fn as_an_ordinary_user(rows: &mut Vec<Row>) {
        let room = tempfile::tempdir().expect("a directory");
        let ran = user::command(room.path(), &[]).and_then(|mut command| {
            let output = command.stderr(Stdio::inherit()).output();
            output.map_err(|error| error.to_string())
        });
        let output = match ran {
            Ok(output) if output.status.success() => output.stdout,
            Ok(output) => panic!("as an ordinary user: {output:?}"),
            Err(reason) => return eprintln!("DID NOT RUN: as an ordinary user: {reason}"),
        };
        let theirs: Vec<Row> = serde_json::from_slice(&output).expect("rows");
        rows.extend(
            theirs.into_iter().map(|row| Row { name: format!("user: {}", row.name), ..row }),
        );
    }

    /// `omnifs status --json` of a mount with 10,000 scopes, from the command's start to its end.
    fn status(rows: &mut Vec<Row>) {
        const SCOPES: usize = 10_000;
        let absent = "the binary or a mount cannot be had here, or OMNIFS_COMPONENTS is not set";
        let component = std::env::var_os("OMNIFS_COMPONENTS")
            .map(|directory| PathBuf::from(directory).join("hostile.wasm"))
            .filter(|component| component.is_file() && Omnifs::unavailable().is_none());
        let Some(component) = component else {
            return eprintln!(
                "DID NOT RUN: status of 10,000 scopes: {absent}; run cargo xtask bench"
            );
        };
        let omnifs = Omnifs::new().expect("a home");
        let provider = format!("hostile={}", component.display());
        let mounted = omnifs.mount(&["--provider".into(), provider]).expect("mount");
        let listed = fs::read_dir(mounted.join("hostile/many-scopes")).expect("list").count();
        assert_eq!(listed, SCOPES);
        let ask = || {
            let told = omnifs.run(&["status", "--json"]).expect("status").stdout;
            assert_eq!(told.matches("\"scope\": \"scope:").count(), SCOPES);
        };
        rows.push(Row {
            name: "status of 10,000 scopes".into(),
            omnifs: best(ROUNDS, ask).as_secs_f64() * 1e3,
            tmpfs: None,
            unit: "ms".into(),
            aim: Some((100.0, "ms".into())),
        });
    }

    pub fn main() {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
        let mut rows = Vec::new();
        if user::is_started_so() {
            against_tmpfs(&tokio, &mut rows);
            return println!("{}", serde_json::to_string(&rows).expect("plain values"));
        }
        memory(&tokio, &mut rows);
        against_tmpfs(&tokio, &mut rows);
        as_an_ordinary_user(&mut rows);
        cold_reads(&tokio, &mut rows);
        provider_call(&tokio, &mut rows);
        status(&mut rows);
        println!("{:<52} {:>10} {:>10} {:>8}  aim", "", "omnifs", "tmpfs", "ratio");
        let mut report = Vec::new();
        for row in &rows {
            let ratio = row.tmpfs.map(|tmpfs| row.omnifs / tmpfs);
            let judged = ratio.unwrap_or(row.omnifs);
            let aim = row.aim.as_ref().map_or(String::new(), |(aim, unit)| {
                format!("<= {aim} {unit}: {}", if judged <= *aim { "met" } else { "MISSED" })
            });
            let show = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
            println!(
                "{:<52} {:>7.2} {:<2} {:>10} {:>8}  {aim}",
                row.name,
                row.omnifs,
                row.unit,
                show(row.tmpfs),
                show(ratio)
            );
            report.push(json!({
                "name": row.name.trim(), "unit": row.unit, "omnifs": row.omnifs, "tmpfs": row.tmpfs,
                "ratio": ratio, "aim": row.aim.as_ref().map(|(aim, _)| aim),
                "met": row.aim.as_ref().map(|(aim, _)| judged <= *aim),
            }));
        }
        if let Some(file) = std::env::var_os("OMNIFS_BENCH_JSON") {
            let text = serde_json::to_string_pretty(&report).expect("plain values");
            fs::write(file, text).expect("the report");
        }
    }
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("DID NOT RUN: this benchmark compares the FUSE back end with tmpfs, on Linux");
}
