//! A virtual machine with a Linux kernel of Debian: QEMU without acceleration, so that it runs
//! anywhere, and user-mode networking, by which the guest reaches this machine's loopback interface
//! and nothing else.

use super::inside::CONTROL;
use crate::fixture::possible;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An unpacked kernel package: `boot/vmlinuz-*` and `lib/modules/*`. The set-up puts one there.
const KERNEL: &str = "OMNIFS_GUEST_KERNEL";
/// An unpacked QEMU, where none is installed. The set-up puts one there.
const UNPACKED: &str = "OMNIFS_GUEST_MACHINE";
/// What the guest needs, each after what it depends on.
const MODULES: [&str; 3] = ["virtio_pci", "virtio_net", "nfsv3"];
const QEMU: &str = "qemu-system-x86_64";
const BOOT: Duration = Duration::from_secs(120);
/// For one command: the whole suite is one.
const COMMAND: Duration = Duration::from_secs(900);

pub struct Machine {
    process: Child,
    control: BufReader<TcpStream>,
    log: PathBuf,
    _room: TempDir,
}

struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

fn first(directory: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    entries
        .map(|e| e.path())
        .find(|p| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
}

/// Where the set-up has unpacked something, by the variable that says so or below the target directory.
fn unpacked(variable: &str, name: &str) -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.join(name);
    Some(std::env::var_os(variable).map_or(target, PathBuf::from))
}

/// QEMU, as it is installed or unpacked.
fn qemu() -> Option<Command> {
    if program(QEMU).is_some() {
        return Some(Command::new(QEMU));
    }
    let base = unpacked(UNPACKED, "guest-machine")?;
    let program = base.join("usr/bin").join(QEMU);
    if !program.is_file() {
        return None;
    }
    let mut command = Command::new(program);
    let places = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|place| base.join(place));
    command.env("LD_LIBRARY_PATH", std::env::join_paths(places).ok()?);
    for firmware in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(base.join(firmware));
    }
    Some(command)
}

fn kernel() -> Option<Kernel> {
    let base = unpacked(KERNEL, "guest-kernel")?;
    let image = first(&base.join("boot"), "vmlinuz-")?;
    Some(Kernel { image, modules: first(&base.join("lib/modules"), "")? })
}

fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|place| place.join(name)).find(|place| place.is_file())
}

impl Machine {
    /// Boots one, in which `test` of this program, a call of [`super::inside::obey`], is run.
    pub fn boot(test: &str) -> Option<Machine> {
        let kernel = kernel();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
        let busybox = busybox.into_iter().find(|path| path.is_file());
        let tools = ["cpio", "ldd"].into_iter().find(|name| program(name).is_none());
        let qemu = qemu();
        if !possible(cfg!(target_arch = "x86_64"), "the guest is an x86-64 machine")
            || !possible(kernel.is_some(), "no kernel for the guest (linux-image-cloud-amd64)")
            || !possible(busybox.is_some(), "busybox-static is not installed")
            || !possible(qemu.is_some(), "there is no QEMU (qemu-system-x86)")
            || !possible(
                tools.is_none(),
                &format!("{} is not installed", tools.unwrap_or_default()),
            )
        {
            return None;
        }
        let room = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = format!("10.0.2.2:{}", listener.local_addr().unwrap().port());
        let kernel = kernel.unwrap();
        let initial = pack(room.path(), &kernel.modules, &busybox.unwrap(), test, &control);
        let log = room.path().join("console");
        let process = qemu
            .unwrap()
            .args(["-accel", "tcg", "-cpu", "qemu64,+rdrand", "-smp", "2", "-m", "768"])
            .arg("-nographic")
            .args(["-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel"])
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(initial)
            .args(["-append", "console=ttyS0 quiet mitigations=off nokaslr edd=off panic=-1"])
            .args(["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="])
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut machine = Starting(process, log);
        listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + BOOT;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            let over = machine.0.try_wait().unwrap().is_some() || Instant::now() > deadline;
            assert!(!over, "the guest did not start:\n{}", said(&machine.1));
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(COMMAND)).unwrap();
        let (process, log) = machine.started();
        Some(Machine { process, control: BufReader::new(stream), log, _room: room })
    }

    /// Has the guest perform a command, see [`super::inside::obey`]. The error is an errno.
    pub fn run(&mut self, words: &[&str]) -> Result<String, i32> {
        let line = format!("{}\n", words.join("\t"));
        self.control.get_mut().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        let read = self.control.read_line(&mut answer);
        if !matches!(read, Ok(1..)) {
            panic!("{words:?}: {read:?}; the guest said:\n{}", said(&self.log));
        }
        match answer.trim_end_matches('\n').split_once('\t').unwrap() {
            ("ok", said) => Ok(said.to_owned()),
            (_, said) => Err(said.split('\t').next().unwrap().parse().unwrap()),
        }
    }

    pub fn mount(&mut self, port: u16, export: &str, more: &str) {
        let options = format!(
            "vers=3,proto=tcp,port={port},mountport={port},mountproto=tcp,nolock,addr=10.0.2.2,\
             mountaddr=10.0.2.2,soft,timeo=100,retrans=3,actimeo=1,lookupcache=positive{more}"
        );
        let source = format!("10.0.2.2:{export}");
        self.run(&["mount", &source, &options]).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Killed if it does not get to its first command.
struct Starting(Child, PathBuf);

impl Starting {
    fn started(self) -> (Child, PathBuf) {
        let mut taken = std::mem::ManuallyDrop::new(self);
        let log = std::mem::take(&mut taken.1);
        // SAFETY: the value is not used or dropped again.
        (unsafe { std::ptr::read(&raw const taken.0) }, log)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// The guest's first file system: busybox, the modules, this program and what it links to.
fn pack(room: &Path, modules: &Path, busybox: &Path, test: &str, control: &str) -> PathBuf {
    let root = room.join("root");
    for directory in ["bin", "dev", "proc", "sys", "mnt", "tmp", "lib/modules"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let mut loaded = Vec::new();
    for name in MODULES {
        add_module(modules, name, &root, &mut loaded);
    }
    let insert = |name: &String| format!("insmod /lib/modules/{name}.ko\n");
    let load: String = loaded.iter().map(insert).collect();
    let this = std::env::current_exe().unwrap();
    let program = root.join("bin/program");
    // Without what a debugger needs it is a tenth as large; where that tool is missing, so be it.
    let stripped = Command::new("strip").arg("-o").arg(&program).arg(&this).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(&this, &program).unwrap();
    }
    let linked = Command::new("ldd").arg(&this).output().unwrap().stdout;
    for library in String::from_utf8(linked).unwrap().split_whitespace() {
        if let Some(below) = library.strip_prefix('/') {
            let copy = root.join(below);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(library, copy).unwrap();
        }
    }
    let init = format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         export PATH=/bin\n\
         mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n\
         {load}\
         ifconfig lo 127.0.0.1 up\n\
         ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up\n\
         {CONTROL}={control} program --exact {test} --nocapture --test-threads=1\n\
         poweroff -f\n"
    );
    fs::write(root.join("init"), init).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let archive = room.join("initial");
    let made = Command::new("sh")
        .args(["-c", "find . | cpio -o -H newc --quiet"])
        .current_dir(&root)
        .stdout(File::create(&archive).unwrap())
        .status()
        .unwrap();
    assert!(made.success());
    fs::remove_dir_all(&root).unwrap();
    archive
}

/// Adds a module after those that it says it depends on. What is not there is built in.
fn add_module(modules: &Path, name: &str, root: &Path, loaded: &mut Vec<String>) {
    let Some(found) = find(modules, &format!("{name}.ko")) else { return };
    if loaded.iter().any(|other| other == name) {
        return;
    }
    let bytes = fs::read(&found).unwrap();
    let fields = bytes.split(|&byte| byte == 0);
    let needs = fields.filter_map(|field| field.strip_prefix(b"depends=")).next();
    for other in String::from_utf8_lossy(needs.unwrap_or_default()).split(',') {
        add_module(modules, other, root, loaded);
    }
    fs::write(root.join(format!("lib/modules/{name}.ko")), bytes).unwrap();
    loaded.push(name.to_owned());
}

/// A file of this name somewhere below.
fn find(below: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(below).ok()?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if path.file_name().is_some_and(|own| own == name) {
            return Some(path);
        }
    }
    None
}
