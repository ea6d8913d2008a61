//! What a release holds, as CycloneDX.

use super::{Release, crates::Crate, write};
use anyhow::{Context, Result};
use serde_json::json;
use std::process::Command;

pub fn make(release: &Release, linked: &[Crate]) -> Result<()> {
    let mut date = Command::new("date");
    date.args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"]).arg(format!("@{}", release.epoch));
    let time = release.output(&mut date, "date")?;
    let components: Vec<_> = linked
        .iter()
        .map(|one| {
            let place = format!("pkg:cargo/{}@{}", one.name, one.version);
            json!({
                "type": "library",
                "bom-ref": place,
                "name": one.name,
                "version": one.version,
                "purl": place,
                "licenses": [{ "expression": one.licence }],
                "hashes": one.checksum.iter().map(|sum| json!({ "alg": "SHA-256", "content": sum })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.trim(),
            "component": {
                "type": "application",
                "bom-ref": "omnifs",
                "name": "omnifs",
                "version": release.version,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": [{
            "ref": "omnifs",
            "dependsOn": linked.iter().map(|one| format!("pkg:cargo/{}@{}", one.name, one.version)).collect::<Vec<_>>(),
        }],
    });
    let text = serde_json::to_string_pretty(&bom).context("the SBOM")?;
    write(&release.file(&format!("omnifs-{}.cdx.json", release.version)), text + "\n")
}
