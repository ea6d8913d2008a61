//! Takes the example out of README.md: what is read there is what the tests mount.

use std::path::Path;

fn main() {
    const README: &str = "../README.md";
    println!("cargo::rerun-if-changed={README}");
    let text = std::fs::read_to_string(README).expect("README.md stands beside this crate");
    let mut blocks = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = blocks.find(|block| block.contains("struct Tracker;"));
    let example = example.expect("README.md has an example for a service");
    // Its test follows it in the same block.
    let program = example.split("// And its test.").next().unwrap_or(example);
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("example.rs"), program).expect("OUT_DIR can be written");
}
