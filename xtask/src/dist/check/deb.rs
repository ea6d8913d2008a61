//! The deb on a bare Debian: installed, the demonstration read, a line of fstab mounted, purged.

use super::super::{Release, deb};
use super::root::Root;
use crate::components;
use crate::step::say;
use anyhow::{Context, Result, bail};
use std::fs;

/// Seconds from `apt install` to a title, on a busy machine and with a build that is not optimised. The aim is 10 s.
const SOON: f64 = 60.0;

/// What a user types. The second stays in the foreground: the third is typed in another terminal.
const FIRST: [&str; 3] = [
    "apt-get install -y -q ./omnifs.deb",
    "omnifs demo",
    "cat omnifs-demo/github/acme/api/_issues/_open/2853/title",
];

pub fn check(release: &Release) -> Result<Option<String>> {
    let package = release.file(&deb::name(release));
    if !package.is_file() {
        return Ok(Some("the deb on a bare system: it was not made".to_owned()));
    }
    let root = match Root::bare()? {
        Ok(root) => root,
        Err(why) => return Ok(Some(format!("the deb on a bare system: {why}"))),
    };
    root.put(&package, "root/omnifs.deb")?;
    let before = root.named("omnifs")?;
    first(&root)?;
    fstab(&root)?;
    // With a mount, whose program would be gone.
    let purge = "mkdir /omnifs\nmount -t omnifs omnifs /omnifs -o allow_other,backend=fuse\nls /omnifs >&2\n\
                 apt-get purge -y -q omnifs >&2\n\
                 if command -v omnifs >&2 || grep omnifs /proc/mounts >&2; then exit 1; fi\nrmdir /omnifs";
    root.run(purge, "purging the deb under a mount")?;
    fs::remove_file(root.path.join("root/omnifs.deb"))?;
    let mut left = root.named("omnifs")?;
    left.retain(|path| !path.starts_with("var/cache/apt") && !path.starts_with("var/log"));
    if !left.is_empty() || fs::exists(root.path.join("root/.cache"))? {
        bail!("apt purge leaves {left:?} (before it: {before:?})");
    }
    say("apt purge leaves nothing");
    Ok(None)
}

fn first(root: &Root) -> Result<()> {
    let [install, demo, cat] = FIRST;
    let script = format!(
        "cd /root\nnow() {{ cut -d' ' -f1 /proc/uptime; }}\nnow\n{install} >&2\nnow\n{demo} >&2 &\ndemo=$!\n\
         until {cat} 2>/dev/null; do kill -0 $demo; sleep 0.05; done\nnow\nkill $demo\nwait $demo\n"
    );
    let said = root.run(&script, "from apt install to the first cat")?;
    let lines: Vec<&str> = said.lines().collect();
    let [start, installed, "Login fails after token refresh", read] = lines[..] else {
        bail!("the first steps on a bare system said {said:?}");
    };
    let seconds = |text: &str| text.parse::<f64>().with_context(|| text.to_owned());
    let (start, installed, read) = (seconds(start)?, seconds(installed)?, seconds(read)?);
    say(&format!(
        "from apt install to the first cat: {:.1} s, of which {:.1} s are apt's; {} commands",
        read - start,
        installed - start,
        FIRST.len()
    ));
    if read - start > SOON {
        bail!("that is more than {SOON} s");
    }
    let man = root.path.join("usr/share/man/man1/omnifs-mount.1.gz");
    // Bare systems keep no manual pages; the completions are there.
    let completions = root.path.join("usr/share/bash-completion/completions/omnifs");
    if !completions.is_file() && !man.is_file() {
        bail!("the package has no completions");
    }
    Ok(())
}

/// As at boot: `mount -a`, read, `umount`; and what a mistake in the line says.
fn fstab(root: &Root) -> Result<()> {
    let hello = components::output_directory()?.join("hello.wasm");
    root.put(&hello, "root/hello.wasm").context("cargo xtask components makes it")?;
    let script = r#"
mkdir -p /etc/omnifs /omnifs
for name in docker github linear; do printf '[instances.%s]\nenabled = false\n' $name; done >/etc/omnifs/config.toml
line() { echo "omnifs /omnifs omnifs _netdev,nofail,allow_other,$1 0 0" >/etc/fstab; }
line config=/etc/omnifs/config.toml,provider=hello=/root/hello.wasm
mount -a
cat /omnifs/hello/hello.txt
mount -a
grep -c ' /omnifs fuse' /proc/mounts
umount /omnifs
while omnifs status >/dev/null 2>&1; do sleep 0.05; done
line alow_other
code=0
mount -a 2>&1 || code=$?
echo "code $code"
rm -r /etc/fstab /etc/omnifs /omnifs /root/hello.wasm
"#;
    let said = root.run(script, "a line of fstab on a bare system")?;
    let expected =
        "Hello, world!\n1\nmount.omnifs: unknown option 'alow_other': did you mean 'allow_other'?";
    if !said.starts_with(expected) || said.contains("code 0") {
        bail!("a line of fstab came to {said:?}");
    }
    say("mount -a from an fstab: mounted once, read, unmounted; a mistake is named");
    Ok(())
}
