//! Embeds the components that ship with the binary, as `cargo xtask` has built them.
//!
//! They share most of their code: the SDK and Rust's standard library. So each is a zstd frame that refers to the
//! largest of them, and can be unpacked without the others. Together they take a seventh of their size, which
//! is half of what each by itself would take, and a tenth more than one frame of all.
//!
//! They are looked for in the folder that `OMNIFS_EMBED` names, else in `components` of the target
//! directory. Without any, the binary still builds and mounts what it is given with `--provider`.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs, thread};
use zstd::stream::write::Encoder;

/// What ships. A component that misbehaves on purpose is built beside these, and never embedded.
const SHIPPED: [&str; 15] = [
    "crates",
    "db",
    "dns",
    "docker",
    "git",
    "github",
    "k8s",
    "linear",
    "mcp",
    "npm",
    "oci",
    "pg",
    "prometheus",
    "pypi",
    "s3",
];
/// What a file that declares a service is written into: no provider by itself.
const DECLARED: &str = "rest";
/// zstd has no smaller window: 1 KiB.
const WINDOW_LOG_LEAST: u32 = 10;
/// Where files are that declare services which ship.
const SPECS: &str = "providers/specs";
/// Those of which there is no instance before the configuration names one, since each is of a server that the
/// user chooses; with the summary of its manifest, which can be shown without running it.
const ON_DEMAND: [(&str, &str); 12] = [
    ("crates", "Versions, dependencies and files of crates of a Rust registry"),
    ("db", "Tables, views and rows of a SQLite database"),
    ("dns", "Records of names over HTTPS"),
    ("git", "Branches, tags, commits and code of repositories over smart HTTP"),
    ("k8s", "Objects of every kind in a Kubernetes cluster, with their events and logs"),
    ("mcp", "Resources, prompts and descriptions of tools of an MCP server"),
    ("npm", "Versions, tags, manifests and files of packages of an npm registry"),
    ("oci", "Tags, manifests, configurations, layers and files of a container registry"),
    ("pg", "Schemas, tables and rows of a PostgreSQL database"),
    ("prometheus", "Alerts, targets, rules and queries of Prometheus, silences of Alertmanager"),
    ("pypi", "Versions, metadata and files of projects of a Python package index"),
    ("s3", "Buckets and objects of an S3 service"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=OMNIFS_EMBED");
    load_winfsp_late();
    // INVARIANT: cargo sets OUT_DIR for every build script.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR is set by cargo"));
    let directory = match env::var_os("OMNIFS_EMBED") {
        Some(given) => PathBuf::from(given),
        None => target_directory(&out).join("components"),
    };
    // Cargo takes a watched path that does not exist for one that has changed, at every build.
    fs::create_dir_all(&directory)
        .unwrap_or_else(|error| panic!("creating {}: {error}", directory.display()));
    println!("cargo::rerun-if-changed={}", directory.display());

    let components: Vec<Component> = SHIPPED
        .iter()
        .chain([&DECLARED])
        .filter_map(|name| Component::find(name, &directory))
        .collect();
    let mut table = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(table, "pub static REFERENCE: &[u8] = {};", include(&pack(&components, &out)));
    let packed = |name: &str| {
        let component = components.iter().find(|component| component.name == name)?;
        Some(component.packed(&out))
    };
    table.push_str("pub static SHIPPED: &[Packed] = &[\n");
    for packed in SHIPPED.iter().filter_map(|name| packed(name)) {
        let _ = writeln!(table, "    {packed},");
    }
    table.push_str("];\n");
    let declared = packed(DECLARED).map_or("None".to_owned(), |packed| format!("Some({packed})"));
    let _ = writeln!(table, "pub static DECLARED: Option<Packed> = {declared};");
    let _ = writeln!(table, "pub static SPECS: &[Shipped] = &[\n{}];", specs());
    let _ = writeln!(table, "pub static ON_DEMAND: &[(&str, &str)] = &{ON_DEMAND:?};");
    if components.iter().all(|component| component.name == DECLARED) {
        println!(
            "cargo::warning=no provider is embedded: {} holds none; run `cargo xtask build`",
            directory.display()
        );
    }
    let generated = out.join("shipped.rs");
    fs::write(&generated, table)
        .unwrap_or_else(|error| panic!("writing {}: {error}", generated.display()));
}

/// The files that declare services, as the rows of a table.
fn specs() -> String {
    // INVARIANT: cargo sets it for every build script.
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is set by cargo");
    let folder = Path::new(&root).join(SPECS);
    println!("cargo::rerun-if-changed={}", folder.display());
    let read = |file: &Path| {
        println!("cargo::rerun-if-changed={}", file.display());
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut rows = String::new();
    for file in files {
        let text = read(&file);
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let mut summary = text.lines().filter_map(|line| line.strip_prefix("summary = "));
        // As TOML writes a plain text, so does Rust.
        let summary = summary.next().unwrap_or("\"\"");
        let _ = writeln!(
            rows,
            "    Shipped {{ name: {name:?}, summary: {summary}, text: include_str!({file:?}) }},"
        );
    }
    rows
}

struct Component {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Component {
    fn find(name: &'static str, directory: &Path) -> Option<Component> {
        let file = directory.join(name).with_extension("wasm");
        if !file.is_file() {
            return None;
        }
        println!("cargo::rerun-if-changed={}", file.display());
        let bytes =
            fs::read(&file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display()));
        Some(Component { name, bytes })
    }

    /// The file that it is packed into.
    fn file(&self, out: &Path) -> PathBuf {
        out.join(self.name).with_extension("wasm.zst")
    }

    /// An expression for what is in that file.
    fn packed(&self, out: &Path) -> String {
        let digest: [u8; 32] = Sha256::digest(&self.bytes).into();
        let (name, frame) = (self.name, include(&self.file(out)));
        format!("Packed {{ name: {name:?}, digest: {digest:?}, frame: {frame} }}")
    }
}

/// An expression for a file's bytes.
fn include(file: &Path) -> String {
    format!("include_bytes!({file:?})")
}

/// Packs each component, and the largest, which the others refer to, by itself; gives the path of that.
fn pack(components: &[Component], out: &Path) -> PathBuf {
    let reference = components.iter().map(|component| component.bytes.as_slice());
    let reference = reference.max_by_key(|bytes| bytes.len()).unwrap_or_default();
    let write = |bytes: &[u8], to: &[u8], file: &Path| {
        let written = frame(bytes, to).and_then(|packed| fs::write(file, packed));
        written.unwrap_or_else(|error| panic!("packing {}: {error}", file.display()));
    };
    let itself = out.join("reference.zst");
    write(reference, &[], &itself);
    // Each takes some 100 MB meanwhile.
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    for some in components.chunks(at_once) {
        thread::scope(|scope| {
            for component in some {
                scope.spawn(|| write(&component.bytes, reference, &component.file(out)));
            }
        });
    }
    itself
}

/// A zstd frame of `bytes` that refers to `reference`. A release is packed as small as can be, which takes
/// seconds; other builds at once.
fn frame(bytes: &[u8], reference: &[u8]) -> io::Result<Vec<u8>> {
    let level = match env::var("PROFILE").as_deref() {
        Ok("release") => 19,
        _ => 3,
    };
    let mut encoder = Encoder::with_ref_prefix(Vec::new(), level, reference)?;
    // So that all of both is within reach.
    let reach = (bytes.len() + reference.len()).next_power_of_two().ilog2();
    encoder.window_log(reach.max(WINDOW_LOG_LEAST))?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// WinFsp's library is found where WinFsp is installed, when something is mounted: without it the
/// other commands work. It is linked by Microsoft's tools only.
fn load_winfsp_late() {
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") != "windows" || target("ENV") != "msvc" {
        return;
    }
    let library = match target("ARCH").as_str() {
        "aarch64" => "winfsp-a64.dll",
        "x86" => "winfsp-x86.dll",
        _ => "winfsp-x64.dll",
    };
    println!("cargo::rustc-link-lib=dylib=delayimp");
    println!("cargo::rustc-link-arg=/DELAYLOAD:{library}");
}

/// The target directory above `TARGET[/TRIPLE]/PROFILE/build/PACKAGE-HASH/out`.
fn target_directory(out: &Path) -> PathBuf {
    // Cargo marks it; without a mark, the layout without a triple.
    let marked = out.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.or_else(|| out.ancestors().nth(4)).unwrap_or(out).to_owned()
}
