//! A container image without a system: the program, the libraries it is linked with, and certificate
//! authorities. One tar that is both an OCI layout and what `docker load` reads.

use super::{Release, archive, sums, write};
use crate::step::loud;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub fn make(release: &Release) -> Result<()> {
    let root = release.folder("layer")?;
    let put = |from: &Path, to: &str| -> Result<()> {
        let to = root.join(to.trim_start_matches('/'));
        to.parent().map(fs::create_dir_all).transpose()?;
        fs::copy(from, &to).with_context(|| from.display().to_string()).map(drop)
    };
    put(&release.binary, "/usr/bin/omnifs")?;
    for library in libraries(release)? {
        put(&library, &library.to_string_lossy())?;
    }
    if !Path::new(AUTHORITIES).is_file() {
        loud("the image was NOT made: apt-get install ca-certificates");
        return Ok(());
    }
    put(Path::new(AUTHORITIES), AUTHORITIES)?;
    for folder in ["root", "omnifs", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    write(&root.join("etc/passwd"), "root:x:0:0:root:/root:/usr/bin/omnifs\n")?;
    let mut modes = Command::new("chmod");
    modes.args(["-R", "u=rwX,go=rX"]).arg(&root);
    release.run(&mut modes, "settling modes")?;
    let folder = release.folder("image")?;
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = release.work.join("layer.tar");
    archive::tar_file(release, &root, ".", &layer)?;
    let (layer_sum, layer_size) = (sums::of(&layer)?, fs::metadata(&layer)?.len());
    fs::rename(&layer, blobs.join(&layer_sum))?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/omnifs"],
            "Cmd": ["mount", "--foreground", "--allow-other", "/omnifs"],
            "Env": ["HOME=/root", "PATH=/usr/bin"],
            "StopSignal": "SIGTERM",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_sum}")] },
        "history": [{ "created_by": "cargo xtask dist" }],
    });
    let blob = |bytes: String| -> Result<(String, usize)> {
        let sum = sums::of_bytes(bytes.as_bytes());
        write(&blobs.join(&sum), &bytes)?;
        Ok((sum, bytes.len()))
    };
    let (config_sum, config_size) = blob(config.to_string())?;
    let tag = format!("omnifs:{}", release.version);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config_sum}"), "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_sum}"), "size": layer_size,
        }],
    });
    let (manifest_sum, manifest_size) = blob(manifest.to_string())?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest_sum}"), "size": manifest_size,
            "annotations": { "org.opencontainers.image.ref.name": release.version, "io.containerd.image.name": tag },
        }],
    });
    write(&folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    write(&folder.join("index.json"), index.to_string())?;
    let docker = json!([{
        "Config": format!("blobs/sha256/{config_sum}"),
        "RepoTags": [tag],
        "Layers": [format!("blobs/sha256/{layer_sum}")],
    }]);
    write(&folder.join("manifest.json"), docker.to_string())?;
    archive::tar_gz(release, &folder, ".", &name(release))
}

pub fn name(release: &Release) -> String {
    format!("omnifs-{}-image.tar.gz", release.version)
}

/// Where the loader finds what the binary is linked with, itself included.
fn libraries(release: &Release) -> Result<Vec<PathBuf>> {
    let text = release.output(Command::new("ldd").arg(&release.binary), "ldd")?;
    let paths = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(paths.collect())
}
