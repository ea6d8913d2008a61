//! Everything is read-only: each way of writing that the system has, as root mounts it and as an ordinary
//! user does.

use omnifs_support::{home, provider, user, wait_until};
use rustix::fs::{
    CWD, FallocateFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, fallocate,
    futimens, mknodat,
};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

const GREETING: &[u8] = b"Hello, world!\n";
const SOON: Duration = Duration::from_secs(60);

type Way = fn(&Path) -> io::Result<()>;

/// Each leaves the file as it is, and fails.
const WAYS: [(&str, Way); 25] = [
    ("write", |file| writable(file)?.write_all(b"evil")),
    ("append", |file| OpenOptions::new().append(true).open(file)?.write_all(b"evil")),
    ("write beyond the end", |file| writable(file)?.write_all_at(b"evil", 1 << 20)),
    ("write past the page cache", direct),
    ("open to truncate", |file| OpenOptions::new().write(true).truncate(true).open(file).map(drop)),
    ("truncate", |file| writable(file)?.set_len(3)),
    ("lengthen", |file| writable(file)?.set_len(1 << 20)),
    ("fallocate", |file| Ok(fallocate(writable(file)?, FallocateFlags::empty(), 0, 4096)?)),
    ("punch a hole", |file| {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(writable(file)?, flags, 0, 4)?)
    }),
    ("splice", spliced),
    ("sendfile", sent),
    ("copy_file_range", |file| {
        let source = File::open(file)?;
        Ok(rustix::fs::copy_file_range(source, Some(&mut 7), writable(file)?, Some(&mut 0), 4)
            .map(drop)?)
    }),
    ("reflink", |file| Ok(rustix::fs::ioctl_ficlone(writable(file)?, File::open(file)?)?)),
    ("write to a mapping", |file| mapped(file, false)),
    ("write to a mapping in a child", |file| mapped(file, true)),
    ("chmod", |file| fs::set_permissions(file, fs::Permissions::from_mode(0o666))),
    ("times", |file| {
        let time = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(futimens(File::open(file)?, &times)?)
    }),
    ("setxattr", |file| Ok(rustix::fs::setxattr(file, "user.x", b"1", XattrFlags::empty())?)),
    ("create", |file| fs::write(file.with_file_name("new"), "x")),
    ("create without a name", |file| {
        let directory = file.parent().unwrap_or(file);
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        Ok(rustix::fs::open(directory, flags, Mode::RUSR).map(drop)?)
    }),
    ("mkdir", |file| fs::create_dir(file.with_file_name("new"))),
    ("mknod", |file| {
        let kind = FileType::RegularFile;
        Ok(mknodat(CWD, file.with_file_name("new"), kind, Mode::RUSR, 0)?)
    }),
    ("link", |file| fs::hard_link(file, file.with_file_name("new"))),
    ("rename", |file| fs::rename(file, file.with_file_name("new"))),
    ("unlink", |file| fs::remove_file(file)),
];

fn writable(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(file)
}

fn direct(file: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    OpenOptions::new().write(true).custom_flags(flags).open(file)?.write_all(b"evil")
}

fn spliced(file: &Path) -> io::Result<()> {
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(b"evil")?;
    let flags = rustix::pipe::SpliceFlags::empty();
    Ok(rustix::pipe::splice(reader, None, writable(file)?, None, 4, flags).map(drop)?)
}

fn sent(file: &Path) -> io::Result<()> {
    let mut source = tempfile::tempfile()?;
    source.write_all(b"evil")?;
    source.seek(SeekFrom::Start(0))?;
    Ok(rustix::fs::sendfile(writable(file)?, source, None, 4).map(drop)?)
}

/// The write itself is one of memory and cannot fail; that it comes to nothing shows when it is synced.
fn mapped(file: &Path, in_child: bool) -> io::Result<()> {
    const PAGE: usize = 4096;
    let file = writable(file)?;
    // SAFETY: a mapping at an address of the kernel's choice, of a file that is open.
    let at = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), PAGE, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: within the mapping, which nobody else in this process uses. The child does nothing but
    // write there and end.
    unsafe {
        if in_child {
            let child = libc::fork();
            if child == 0 {
                at.cast::<u8>().write_volatile(b'E');
                libc::_exit(0);
            }
            libc::waitpid(child, std::ptr::null_mut(), 0);
        } else {
            at.cast::<u8>().write_volatile(b'E');
        }
        let synced = match libc::msync(at, PAGE, libc::MS_SYNC) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        libc::munmap(at, PAGE);
        synced
    }
}

fn each_way_is_refused(test: &str, allow_other: bool) {
    let Some(omnifs) = home(test) else { return };
    let omnifs = omnifs.env("OMNIFS_ALLOW_OTHER", &allow_other.to_string());
    let mounted = omnifs.mount(&provider("hello")).expect("mount");
    let file = mounted.join("hello/hello.txt");
    assert_eq!(fs::read(&file).expect("read"), GREETING);
    let names = || {
        let entries = fs::read_dir(mounted.join("hello")).expect("list");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let before = names();
    for (way, write) in WAYS {
        let error = write(&file).expect_err(way);
        let refused: &[Errno] = match way {
            // What this kind of file system has none of is refused as such.
            "reflink" | "copy_file_range" | "create without a name" => {
                &[Errno::ROFS, Errno::OPNOTSUPP, Errno::XDEV, Errno::INVAL]
            }
            // As the kernel says that it could not write back what somebody else has written.
            "write to a mapping in a child" => &[Errno::ROFS, Errno::IO],
            _ => &[Errno::ROFS],
        };
        let number = Errno::from_io_error(&error);
        assert!(number.is_some_and(|number| refused.contains(&number)), "{way}: {error}");
        // What was written to a mapping goes with the notification that follows the refusal.
        let whole = || (fs::read(&file).ok()? == GREETING).then_some(());
        assert!(wait_until(SOON, whole).is_some(), "{way}: {:?}", fs::read(&file));
        assert_eq!(fs::metadata(&file).expect("stat").len(), GREETING.len() as u64, "{way}");
        assert_eq!(names(), before, "{way}");
    }
    assert!(mounted.unmount());
}

#[test]
fn every_write_is_refused_as_a_read_only_file_system() {
    each_way_is_refused("every_write_is_refused_as_a_read_only_file_system", false);
}

/// Whose mount is a writable one to the kernel, so that the daemon can wake watchers.
#[test]
fn every_write_of_an_ordinary_user_is_refused() {
    let test = "writes::every_write_of_an_ordinary_user_is_refused";
    if user::is_ordinary(test) {
        each_way_is_refused(test, false);
        each_way_is_refused(test, true);
    }
}
