//! `omnifs init`: what it makes builds, and passes the test that it makes with it.
#![cfg(target_os = "linux")]

mod cli;

use cli::Home;
use omnifs_support::{program, skip};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// A description with a field of each kind, words of Rust among their names, and text that would end a literal.
fn description() -> String {
    let pet = json!({ "properties": {
        "petId": { "type": "string" }, "type": { "type": "string" }, "weight": { "type": "number" },
        "alive": { "type": "boolean" }, "legs": { "type": "integer" }, "born_at": { "type": "string" }
    } });
    let answers = |schema: serde_json::Value| {
        json!({ "get": { "responses": { "200": { "content": { "application/json": {
            "schema": schema
        } } } } } })
    };
    let list = json!({ "properties": { "pets": { "type": "array", "items": pet } } });
    json!({
        "info": { "title": "Pets\"; \u{202e}std::process::exit(1); \\" },
        "servers": [{ "url": "https://pets.example/v1" }],
        "paths": { "/pets": answers(list), "/pets/{petId}": answers(pet) }
    })
    .to_string()
}

/// Runs the project's own tests, without a network.
fn passes(project: &Path) {
    cli::lock(project);
    let mut command = Command::new("cargo");
    command.args(["test", "--offline", "--quiet"]).current_dir(project);
    let output = command.env("CARGO_TARGET_DIR", cli::guest_target()).output().expect("cargo");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    assert!(!errors.contains("warning"), "{errors}");
}

#[test]
fn a_new_project_builds_and_passes_its_test() {
    if program("cargo").is_none() {
        return skip("a_new_project", "cargo is not on the path");
    }
    let home = Home::new();
    let file = home.path("pets.json");
    std::fs::write(&file, description()).unwrap();
    let file = file.display().to_string();
    let ran = home.run(["init", "a-blank-one", "--sdk", &cli::sdk()]);
    assert!(ran.works().ends_with("  cargo test\n  omnifs dev\n"), "{ran:?}");
    let described = ["init", "pets", "--from", "openapi", &file, "--list", "/pets"];
    let item = ["--item", "/pets/{petId}", "--sdk", &cli::sdk()];
    home.run([&described[..], &item[..]].concat()).works();
    for project in ["a-blank-one", "pets"] {
        passes(&home.path(project));
    }
}

#[test]
fn what_is_there_is_not_written_over_and_what_cannot_be_made_is_said() {
    let home = Home::new();
    std::fs::create_dir(home.path("taken")).unwrap();
    std::fs::write(home.path("taken/Cargo.toml"), "mine").unwrap();
    let ran = home.run(["init", "taken"]);
    assert!(ran.code == 1 && ran.stderr.contains("taken"), "{ran:?}");
    assert_eq!(cli::text(&home.path("taken/Cargo.toml")), "mine");
    home.run(["init", "../out"]).fails(2, "cannot name a provider", "lower-case letter");
    home.run(["init", "x", "--from", "graphql", "y"]).fails(2, "GraphQL", "--from blank");
    home.run(["init", "x", "--from", "openapi", "none.json"]).fails(2, "which paths", "--list");
    home.run(["init", "x", "--list", "/pets"]).fails(2, "OpenAPI description", "--from openapi");
    assert_eq!(home.run(["init", "x", "--sdk", "none"]).code, 2, "no such SDK");
    assert!(!home.path("x").exists() && !home.path("../out").exists());
    let ran = home.run(["init", "y", "--json"]);
    let said: serde_json::Value = serde_json::from_str(ran.works()).unwrap();
    assert_eq!(said["result"]["directory"], "y");
}
