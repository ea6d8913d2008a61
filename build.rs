//! Embeds the components that ship with the binary, as `cargo xtask` has built them, each as a zlib stream
//! of a third of its size.
//!
//! They are looked for in the folder that `OMNIFS_EMBED` names, else in `components` of the target
//! directory. Without any, the binary still builds and mounts what it is given with `--provider`.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What ships. A component that misbehaves on purpose is built beside these, and never embedded.
const SHIPPED: [&str; 13] = [
    "crates",
    "dns",
    "docker",
    "git",
    "github",
    "k8s",
    "linear",
    "mcp",
    "npm",
    "oci",
    "prometheus",
    "pypi",
    "s3",
];
/// What a file that declares a service is written into: no provider by itself.
const DECLARED: &str = "rest";
/// Where files are that declare services which ship.
const SPECS: &str = "providers/specs";
/// Those of which there is no instance before the configuration names one, since each is of a server that the
/// user chooses.
const ON_DEMAND: [&str; 10] =
    ["crates", "dns", "git", "k8s", "mcp", "npm", "oci", "prometheus", "pypi", "s3"];

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

    let mut table = String::from("pub static SHIPPED: &[(&str, &[u8])] = &[\n");
    let mut found = false;
    for name in SHIPPED {
        let file = directory.join(format!("{name}.wasm"));
        if file.is_file() {
            println!("cargo::rerun-if-changed={}", file.display());
            // Writing to a String does not fail.
            let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", pack(&file, &out));
            found = true;
        }
    }
    table.push_str("];\n");
    let file = directory.join(DECLARED).with_extension("wasm");
    let declared = match file.is_file() {
        true => {
            println!("cargo::rerun-if-changed={}", file.display());
            format!("Some(include_bytes!({:?}))", pack(&file, &out))
        }
        false => "None".to_owned(),
    };
    let _ = writeln!(table, "pub static DECLARED: Option<&[u8]> = {declared};");
    let _ = writeln!(table, "pub static SPECS: &[Shipped] = &[\n{}];", specs());
    let _ = writeln!(table, "pub static ON_DEMAND: &[&str] = &{ON_DEMAND:?};");
    if !found {
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

/// Packs a file into one of the same name in `out`, and gives the path of that.
fn pack(file: &Path, out: &Path) -> PathBuf {
    let packed = out.join(file.file_name().unwrap_or(file.as_os_str())).with_extension("wasm.zlib");
    let pack = || {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&fs::read(file)?)?;
        fs::write(&packed, encoder.finish()?)
    };
    pack().unwrap_or_else(|error| panic!("packing {}: {error}", file.display()));
    packed
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
