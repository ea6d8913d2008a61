//! The pure half behind WinFsp's interface: it translates arguments and results, and waits.
//!
//! WinFsp calls from threads of its own, [`volume::THREADS`] at most, each of which waits for its
//! answer here.

use super::changes::Notice;
use super::filesystem::{Context, Filesystem, Looked};
use super::info::{FileInfo, SYMLINK_TAG, filetime};
use super::mountpoint::{self, Mountpoint, Refusal};
use super::security::{Descriptor, Sid};
use super::status::Status;
use super::{volume, volume::Volume};
use crate::Vfs;
use crate::mounting::{self, Machine, UnmountMode};
use parking_lot::Mutex;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime;
use tokio::sync::watch;
use windows::Win32::Foundation::{CloseHandle, HANDLE};
use windows::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows::Win32::System::LibraryLoader::LoadLibraryW;
use windows::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows::core::HSTRING;
use winfsp::filesystem::{
    DirInfo, DirMarker, FileSecurity, FileSystemContext, ModificationDescriptor, OpenFileInfo,
    VolumeInfo, WideNameInfo,
};
use winfsp::host::{FileSystemHost, FileSystemParams, FineGuard, VolumeParams};
use winfsp::notify::{Notifier, NotifyInfo, NotifyingFileSystemContext};
use winfsp::{FspError, U16CStr};

/// The longest path that WinFsp passes on, in UTF-16 units.
const PATH_MAX: usize = 1024;

/// How a mount is made.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Lets every user read, not just the mounting one and administrators.
    pub allow_other: bool,
    /// What the volume's serial number is made of: the names of the instances.
    pub identity: Vec<String>,
    /// The volume's creation time.
    pub created: SystemTime,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions { allow_other: false, identity: Vec::new(), created: SystemTime::UNIX_EPOCH }
    }
}

/// A mounted volume. Dropping it unmounts.
pub struct Mounted {
    point: PathBuf,
    /// Behind a lock only because a host may be used by one thread at a time, and a [`Mounted`] by
    /// many.
    host: Mutex<Option<Box<dyn Host>>>,
    ended: watch::Receiver<bool>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("point", &self.point).finish_non_exhaustive()
    }
}

/// A [`FileSystemHost`] of whatever [`Vfs`].
trait Host: Send {
    fn end(self: Box<Self>);
}

struct Running<V: Vfs> {
    filesystem: Arc<Filesystem<V>>,
    host: FileSystemHost<Adapter<V>>,
}

impl<V: Vfs> Host for Running<V> {
    fn end(self: Box<Self>) {
        // Waits for the requests under way, each of which has a deadline.
        drop(self.host);
        self.filesystem.end();
    }
}

/// Whether WinFsp can be used here.
///
/// # Errors
/// It is not installed, or for another processor.
pub fn check() -> Result<(), Refusal> {
    load().map(drop)
}

const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "a64"
} else if cfg!(target_arch = "x86") {
    "x86"
} else {
    "x64"
};

/// Loads WinFsp's library from where its installer says that it is. The crate loads it too, by its
/// name alone, and finds it once it is loaded; but it does not say what is wrong.
fn load() -> Result<winfsp::FspInit, Refusal> {
    let library = format!("winfsp-{ARCHITECTURE}.dll");
    let roots = ["ProgramFiles(x86)", "ProgramFiles"];
    let files = roots
        .iter()
        .filter_map(std::env::var_os)
        .map(|root| Path::new(&root).join("WinFsp").join("bin").join(&library));
    let mut refusal = mountpoint::not_loaded(2, ARCHITECTURE);
    for file in files.filter(|file| file.exists()).chain([PathBuf::from(&library)]) {
        // SAFETY: the library of a driver that the administrator has installed; the name ends with
        // a NUL.
        match unsafe { LoadLibraryW(&HSTRING::from(file.as_os_str())) } {
            Ok(_) => {
                return winfsp::winfsp_init().map_err(|_| Refusal::NotInstalled);
            }
            Err(error) => {
                // An HRESULT that holds the Win32 error in its lower half.
                let code = error.code().0.cast_unsigned() & 0xFFFF;
                let found = mountpoint::not_loaded(code, ARCHITECTURE);
                if found != Refusal::NotInstalled {
                    refusal = found;
                }
            }
        }
    }
    Err(refusal)
}

/// Mounts `vfs` and serves it until it is unmounted. Answers are waited for on `runtime`.
///
/// Blocks for a few system calls.
pub fn mount<V: Vfs>(
    vfs: Arc<V>,
    at: Mountpoint,
    options: &MountOptions,
    runtime: &runtime::Handle,
) -> Result<Mounted, Refusal> {
    let at = at.settle(&Machine)?;
    load()?;
    let user = user().map_err(|error| {
        let status = error.raw_os_error().unwrap_or_default().cast_unsigned();
        Refusal::System { at: at.to_string(), status }
    })?;
    let descriptor = Descriptor::new(user, options.allow_other).to_bytes();
    let filesystem = Filesystem::new(vfs, descriptor);
    let (tell_end, ended) = watch::channel(false);
    let adapter =
        Adapter { filesystem: filesystem.clone(), runtime: runtime.clone(), ended: tell_end };
    let identity = options.identity.iter().map(String::as_str);
    let volume = Volume::new(identity, filetime(options.created));
    let params = FileSystemParams {
        use_dir_info_by_name: true,
        volume_params: parameters(&volume),
        debug_mode: Default::default(),
    };
    // Requests run beside each other.
    let host = FileSystemHost::<_, FineGuard>::new_with_timer::<
        Vec<Notice>,
        { volume::NOTIFY_EVERY },
    >(params, adapter);
    let mut host = host.map_err(|error| mountpoint::not_created(&at, status_of(&error)))?;
    host.start_with_threads(volume::THREADS)
        .map_err(|error| mountpoint::not_created(&at, status_of(&error)))?;
    host.mount(at.to_string())
        .map_err(|error| mountpoint::not_mounted(&at, status_of(&error), &Machine))?;
    let host = Box::new(Running { filesystem, host });
    Ok(Mounted { point: at.path(), host: Mutex::new(Some(host)), ended })
}

impl Mounted {
    /// The path by which programs reach it.
    pub fn mountpoint(&self) -> &Path {
        &self.point
    }

    /// Returns when the volume is gone, whoever has ended it.
    pub async fn ended(&self) {
        // An error means that the volume is gone, which is the end too.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Takes the volume away. What is open in it fails from now on. Blocks. Never busy: Windows keeps files
    /// open that programs have closed, so "in use" says nothing.
    pub fn unmount(&mut self, _: UnmountMode) -> Result<(), mounting::Error> {
        let host = self.host.get_mut().take();
        if let Some(host) = host {
            host.end();
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Which cannot fail.
        let _ = self.unmount(UnmountMode::Force);
    }
}

/// What the volume says of itself.
fn parameters(volume: &Volume) -> VolumeParams {
    let mut params = VolumeParams::new();
    params
        .filesystem_name(volume::FILE_SYSTEM)
        .sector_size(volume::SECTOR)
        .sectors_per_allocation_unit(1)
        .max_component_length(volume::NAME_MAX)
        .volume_creation_time(volume.created)
        .volume_serial_number(volume.serial)
        .irp_timeout(volume::ANSWER_WITHIN)
        .file_info_timeout(volume.info_timeout)
        .case_sensitive_search(false)
        .case_preserved_names(true)
        .unicode_on_disk(true)
        .persistent_acls(true)
        .reparse_points(true)
        .read_only_volume(true)
        .pass_query_directory_filename(true)
        .post_cleanup_when_modified_only(true);
    params
}

/// The NTSTATUS behind an error of the crate, which wraps it in an HRESULT.
fn status_of(error: &windows::core::Error) -> u32 {
    const NT_BIT: u32 = 0x1000_0000;
    error.code().0.cast_unsigned() & !NT_BIT
}

/// The identifier of the user whom this process runs as.
fn user() -> io::Result<Sid> {
    let mut token = HANDLE::default();
    // SAFETY: the handle of this process needs no closing; the token's is closed below.
    unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) }?;
    let mut buffer = [0_u64; 32];
    let mut size = 0;
    // SAFETY: the buffer is aligned for TOKEN_USER, and the system writes no more than its size.
    let told = unsafe {
        GetTokenInformation(
            token,
            TokenUser,
            Some(buffer.as_mut_ptr().cast()),
            size_of_val(&buffer) as u32,
            &mut size,
        )
    };
    // SAFETY: it was opened above.
    let closed = unsafe { CloseHandle(token) };
    told.and(closed)?;
    // SAFETY: the system has put a TOKEN_USER at the beginning.
    let sid = unsafe { (*buffer.as_ptr().cast::<TOKEN_USER>()).User.Sid.0 };
    // The identifier follows in the same buffer.
    let offset = (sid as usize).checked_sub(buffer.as_ptr() as usize);
    let used = (size as usize).min(size_of_val(&buffer));
    // SAFETY: the buffer is initialised, and `used` is within it.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), used) };
    let bytes = offset.and_then(|at| bytes.get(at..)).unwrap_or_default();
    Sid::from_bytes(bytes).map_err(io::Error::other)
}

struct Adapter<V: Vfs> {
    filesystem: Arc<Filesystem<V>>,
    runtime: runtime::Handle,
    ended: watch::Sender<bool>,
}

impl From<Status> for FspError {
    fn from(status: Status) -> FspError {
        FspError::NTSTATUS(status.raw())
    }
}

fn fill(into: &mut winfsp::filesystem::FileInfo, info: &FileInfo) {
    into.file_attributes = info.attributes;
    into.reparse_tag = info.reparse_tag;
    into.allocation_size = info.allocation;
    into.file_size = info.size;
    into.creation_time = info.time;
    into.last_access_time = info.time;
    into.last_write_time = info.time;
    into.change_time = info.time;
    into.index_number = info.index;
    // WinFsp has no hard links: it wants 0.
    into.hard_links = 0;
    into.ea_size = 0;
}

/// Copies the descriptor if there is a place for it; its size.
fn describe(bytes: &[u8], into: Option<&mut [c_void]>) -> winfsp::Result<u64> {
    if let Some(into) = into {
        let room = into.len();
        if room < bytes.len() {
            return Err(Status::BUFFER_OVERFLOW.into());
        }
        // SAFETY: there is room for the bytes, and the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), into.as_mut_ptr().cast(), bytes.len());
        }
    }
    Ok(bytes.len() as u64)
}

fn refused<T>() -> winfsp::Result<T> {
    Err(Status::MEDIA_WRITE_PROTECTED.into())
}

impl<V: Vfs> FileSystemContext for Adapter<V> {
    type FileContext = Context<V>;

    fn get_security_by_name(
        &self,
        file_name: &U16CStr,
        security_descriptor: Option<&mut [c_void]>,
        reparse_point_resolver: impl FnOnce(&U16CStr) -> Option<FileSecurity>,
    ) -> winfsp::Result<FileSecurity> {
        match self.runtime.block_on(self.filesystem.look(file_name.as_slice()))? {
            Looked::Found { attributes } => {
                let size = describe(self.filesystem.descriptor(), security_descriptor)?;
                Ok(FileSecurity { reparse: false, sz_security_descriptor: size, attributes })
            }
            Looked::Link => {
                reparse_point_resolver(file_name).ok_or(Status::REPARSE_POINT_NOT_RESOLVED.into())
            }
        }
    }

    fn open(
        &self,
        file_name: &U16CStr,
        create_options: u32,
        granted_access: u32,
        file_info: &mut OpenFileInfo,
    ) -> winfsp::Result<Context<V>> {
        let path = file_name.as_slice();
        let open = self.filesystem.open(path, create_options, granted_access);
        let opened = self.runtime.block_on(open)?;
        fill(file_info.as_mut(), &opened.info);
        if 2 * opened.normalized.len() <= usize::from(file_info.normalized_name_size()) {
            file_info.set_normalized_name(&opened.normalized, None);
        }
        if opened.direct {
            // SAFETY: within the handling of an open, as this function is.
            unsafe {
                self.with_operation_response(|response| {
                    response.Rsp.Create.Opened.set_DisableCache(1);
                });
            }
        }
        Ok(opened.context)
    }

    fn close(&self, context: Context<V>) {
        self.filesystem.close(context);
    }

    fn create(
        &self,
        _file_name: &U16CStr,
        _create_options: u32,
        _granted_access: u32,
        _file_attributes: u32,
        _security_descriptor: Option<&[c_void]>,
        _allocation_size: u64,
        _extra_buffer: Option<&[u8]>,
        _extra_buffer_is_reparse_point: bool,
        _file_info: &mut OpenFileInfo,
    ) -> winfsp::Result<Context<V>> {
        refused()
    }

    /// There is nothing to write.
    fn flush(
        &self,
        context: Option<&Context<V>>,
        file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<()> {
        match context {
            Some(context) => self.get_file_info(context, file_info),
            None => Ok(()),
        }
    }

    fn get_file_info(
        &self,
        context: &Context<V>,
        file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<()> {
        let info = self.runtime.block_on(self.filesystem.info(context))?;
        fill(file_info, &info);
        Ok(())
    }

    fn get_security(
        &self,
        _context: &Context<V>,
        security_descriptor: Option<&mut [c_void]>,
    ) -> winfsp::Result<u64> {
        describe(self.filesystem.descriptor(), security_descriptor)
    }

    fn set_security(
        &self,
        _context: &Context<V>,
        _security_information: u32,
        _modification_descriptor: ModificationDescriptor,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn overwrite(
        &self,
        _context: &Context<V>,
        _file_attributes: u32,
        _replace_file_attributes: bool,
        _allocation_size: u64,
        _extra_buffer: Option<&[u8]>,
        _file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn read_directory(
        &self,
        context: &Context<V>,
        _pattern: Option<&U16CStr>,
        marker: DirMarker<'_>,
        buffer: &mut [u8],
    ) -> winfsp::Result<u32> {
        let mut used = 0;
        let mut full = false;
        let list = self.filesystem.list(context, marker.inner(), |name, info| {
            let mut entry = DirInfo::<{ volume::NAME_MAX as usize }>::new();
            fill(entry.file_info_mut(), info);
            // No name is longer than the entry has room for.
            full = entry.set_name_raw(name).is_err() || !entry.append_to_buffer(buffer, &mut used);
            !full
        });
        self.runtime.block_on(list)?;
        if !full {
            DirInfo::<{ volume::NAME_MAX as usize }>::finalize_buffer(buffer, &mut used);
        }
        Ok(used)
    }

    fn get_dir_info_by_name(
        &self,
        context: &Context<V>,
        file_name: &U16CStr,
        out_dir_info: &mut DirInfo,
    ) -> winfsp::Result<()> {
        let (name, info) =
            self.runtime.block_on(self.filesystem.entry(context, file_name.as_slice()))?;
        out_dir_info.reset();
        fill(out_dir_info.file_info_mut(), &info);
        out_dir_info.set_name_raw(name.as_slice())
    }

    fn rename(
        &self,
        _context: &Context<V>,
        _file_name: &U16CStr,
        _new_file_name: &U16CStr,
        _replace_if_exists: bool,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn set_basic_info(
        &self,
        _context: &Context<V>,
        _file_attributes: u32,
        _creation_time: u64,
        _last_access_time: u64,
        _last_write_time: u64,
        _last_change_time: u64,
        _file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn set_delete(
        &self,
        _context: &Context<V>,
        _file_name: &U16CStr,
        _delete_file: bool,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn set_file_size(
        &self,
        _context: &Context<V>,
        _new_size: u64,
        _set_allocation_size: bool,
        _file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn read(&self, context: &Context<V>, buffer: &mut [u8], offset: u64) -> winfsp::Result<u32> {
        let read = self.runtime.block_on(self.filesystem.read(context, offset, buffer))?;
        // No more than the buffer holds, whose length was 32 bits wide.
        Ok(read as u32)
    }

    fn write(
        &self,
        _context: &Context<V>,
        _buffer: &[u8],
        _offset: u64,
        _write_to_eof: bool,
        _constrained_io: bool,
        _file_info: &mut winfsp::filesystem::FileInfo,
    ) -> winfsp::Result<u32> {
        refused()
    }

    fn get_volume_info(&self, out_volume_info: &mut VolumeInfo) -> winfsp::Result<()> {
        let (total, free) = self.filesystem.size();
        out_volume_info.total_size = total;
        out_volume_info.free_size = free;
        out_volume_info.set_volume_label(volume::LABEL);
        Ok(())
    }

    fn set_volume_label(
        &self,
        _volume_label: &U16CStr,
        _volume_info: &mut VolumeInfo,
    ) -> winfsp::Result<()> {
        refused()
    }

    fn get_reparse_point_by_name(
        &self,
        file_name: &U16CStr,
        _is_directory: bool,
        buffer: &mut [u8],
    ) -> winfsp::Result<u64> {
        let point = self.runtime.block_on(self.filesystem.link_at(file_name.as_slice()))?;
        copy_link(&point, buffer)
    }

    fn get_reparse_point(
        &self,
        context: &Context<V>,
        _file_name: &U16CStr,
        buffer: &mut [u8],
    ) -> winfsp::Result<u64> {
        let point = self.runtime.block_on(self.filesystem.link(context))?;
        copy_link(&point, buffer)
    }

    fn set_reparse_point(
        &self,
        _context: &Context<V>,
        _file_name: &U16CStr,
        _buffer: &[u8],
    ) -> winfsp::Result<()> {
        refused()
    }

    fn delete_reparse_point(
        &self,
        _context: &Context<V>,
        _file_name: &U16CStr,
        _buffer: &[u8],
    ) -> winfsp::Result<()> {
        refused()
    }

    fn dispatcher_stopped(&self, normally: bool) {
        if !normally {
            tracing::warn!("WinFsp has stopped the volume");
        }
        self.ended.send_replace(true);
    }
}

fn copy_link(point: &[u8], buffer: &mut [u8]) -> winfsp::Result<u64> {
    debug_assert!(point.starts_with(&SYMLINK_TAG.to_le_bytes()));
    // Without room, WinFsp asks whether it is a link at all.
    if !buffer.is_empty() {
        let room = buffer.get_mut(..point.len()).ok_or(Status::BUFFER_OVERFLOW)?;
        room.copy_from_slice(point);
    }
    Ok(point.len() as u64)
}

impl<V: Vfs> NotifyingFileSystemContext<Vec<Notice>> for Adapter<V> {
    fn should_notify(&self) -> Option<Vec<Notice>> {
        Some(self.filesystem.notices()).filter(|notices| !notices.is_empty())
    }

    fn notify(&self, notices: Vec<Notice>, notifier: &Notifier) {
        for notice in notices {
            let mut info = NotifyInfo::<PATH_MAX>::new();
            info.filter = notice.filter;
            info.action = notice.action;
            // A longer path was never opened, and so nothing of it is cached.
            if info.set_name_raw(notice.path.as_slice()).is_ok() {
                notifier.notify(&info);
            }
        }
    }
}
