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
    use omnifs_support::Omnifs;
    use serde_json::json;
    use std::fs;
    use std::hint::black_box;
    use std::io::Read;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const DIRECTORIES: usize = 100;
    const FILES: usize = 100;
    const ROUNDS: usize = 25;

    fn content(directory: usize, file: usize) -> String {
        format!(
            "file {file} of directory {directory}\n{}\n",
            "some words to search through. ".repeat(5)
        )
    }

    struct Row {
        name: &'static str,
        omnifs: f64,
        tmpfs: Option<f64>,
        unit: &'static str,
        aim: Option<(f64, &'static str)>,
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
            .args(["-r", "no such words here", "."])
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
                name,
                omnifs: micros(omnifs),
                tmpfs: Some(micros(tmpfs)),
                unit: "us",
                aim: aim.map(|aim| (aim, "x tmpfs")),
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
        let mounted = mounted(&runtime, point.path(), tokio);
        let tree = Tree { mount: point.path().join("m"), tmpfs };

        let start = Instant::now();
        grep(&tree.mount);
        let cold = start.elapsed().as_secs_f64() * 1e6 / (DIRECTORIES * FILES) as f64;
        rows.push(Row {
            name: "cold fill (grep -r), per file",
            omnifs: cold,
            tmpfs: None,
            unit: "us",
            aim: None,
        });

        let files = DIRECTORIES * FILES;
        rows.push(tree.both("warm stat", files, Some(1.15), |root| {
            for path in paths(root) {
                black_box(fs::metadata(path).expect("stat"));
            }
        }));
        rows.push(tree.both("warm open, read, close", files, None, |root| {
            let mut buffer = Vec::with_capacity(4096);
            for path in paths(root) {
                buffer.clear();
                fs::File::open(path).expect("open").read_to_end(&mut buffer).expect("read");
                black_box(&buffer);
            }
        }));
        rows.push(tree.both("warm readdir, per entry", files, None, |root| {
            for d in 0..DIRECTORIES {
                let entries = fs::read_dir(root.join(format!("d{d:03}"))).expect("readdir");
                assert_eq!(entries.count(), FILES);
            }
        }));
        rows.push(tree.both("warm grep -r, per file", files, Some(1.3), grep));
        // The root of an instance is listed anew at each open; nothing below it is asked for.
        let calls = upstream.calls();
        grep(&tree.mount);
        let asked = upstream.calls() - calls;
        assert!(asked <= 2, "warm means that nothing is asked, and there were {asked} calls");
        drop(mounted);
    }

    fn mounted(runtime: &Arc<Runtime>, point: &Path, tokio: &tokio::runtime::Runtime) -> Mounted {
        mount(runtime.clone(), point, &MountOptions::default(), tokio.handle())
            .expect("mount (root, or fuse3)")
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
            name: "cold read (lookup, open, read), median",
            omnifs: median(&times),
            tmpfs: None,
            unit: "us",
            aim: Some((500.0, "us")),
        });
        rows.push(Row {
            name: "  the last 1,000 against the first",
            omnifs: last / first,
            tmpfs: None,
            unit: "x",
            aim: Some((1.2, "x")),
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
            name: "resident bytes per cached node",
            omnifs: each,
            tmpfs: None,
            unit: "B",
            aim: Some((1024.0, "B")),
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
                name: "provider call with its fresh instance",
                omnifs: least.as_secs_f64() * 1e6,
                tmpfs: None,
                unit: "us",
                aim: Some((40.0, "us")),
            });
        });
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
            name: "status of 10,000 scopes",
            omnifs: best(ROUNDS, ask).as_secs_f64() * 1e3,
            tmpfs: None,
            unit: "ms",
            aim: Some((100.0, "ms")),
        });
    }

    pub fn main() {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
        let mut rows = Vec::new();
        memory(&tokio, &mut rows);
        against_tmpfs(&tokio, &mut rows);
        cold_reads(&tokio, &mut rows);
        provider_call(&tokio, &mut rows);
        status(&mut rows);
        println!("{:<42} {:>10} {:>10} {:>8}  aim", "", "omnifs", "tmpfs", "ratio");
        let mut report = Vec::new();
        for row in &rows {
            let ratio = row.tmpfs.map(|tmpfs| row.omnifs / tmpfs);
            let judged = ratio.unwrap_or(row.omnifs);
            let aim = row.aim.map_or(String::new(), |(aim, unit)| {
                format!("<= {aim} {unit}: {}", if judged <= aim { "met" } else { "MISSED" })
            });
            let show = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
            println!(
                "{:<42} {:>7.2} {:<2} {:>10} {:>8}  {aim}",
                row.name,
                row.omnifs,
                row.unit,
                show(row.tmpfs),
                show(ratio)
            );
            report.push(json!({
                "name": row.name.trim(), "unit": row.unit, "omnifs": row.omnifs, "tmpfs": row.tmpfs,
                "ratio": ratio, "aim": row.aim.map(|(aim, _)| aim),
                "met": row.aim.map(|(aim, _)| judged <= aim),
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
