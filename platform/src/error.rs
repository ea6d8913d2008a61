//! Every way a file system call can fail, and the one table that maps each to the three back ends.

use thiserror::Error;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The file-system-level cause. Detail for people (provider, path, what to do) is kept by the core
/// and shown by `omnifs status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Error {
    #[error("no such file or directory")]
    NotFound,
    #[error("the service denied access")]
    Denied,
    #[error("the service throttles requests")]
    RateLimited,
    #[error("the service is unavailable")]
    Unavailable,
    #[error("the service did not answer in time")]
    TimedOut,
    #[error("the content is larger than the limit")]
    TooLarge,
    #[error("the provider gave an invalid answer")]
    Invalid,
    #[error("the file system is read-only")]
    ReadOnly,
    #[error("not a directory")]
    NotDirectory,
    #[error("is a directory")]
    IsDirectory,
    #[error("not a symbolic link")]
    NotSymlink,
    #[error("the name is too long")]
    NameTooLong,
    /// The object of this handle is gone, or the handle was never given out.
    #[error("the object is gone")]
    Stale,
}

/// How one [`Error`] is shown by each back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// Linux errno.
    pub errno: i32,
    /// nfsstat3, RFC 1813 section 2.6.
    pub nfs: u32,
    /// NTSTATUS, [MS-ERREF] section 2.3.
    pub ntstatus: u32,
}

impl Error {
    pub const ALL: [Error; 13] = [
        Error::NotFound,
        Error::Denied,
        Error::RateLimited,
        Error::Unavailable,
        Error::TimedOut,
        Error::TooLarge,
        Error::Invalid,
        Error::ReadOnly,
        Error::NotDirectory,
        Error::IsDirectory,
        Error::NotSymlink,
        Error::NameTooLong,
        Error::Stale,
    ];

    /// The table of the three back ends' codes. The errnos are Linux's, written as numbers so that
    /// the table is the same on every system.
    pub fn codes(self) -> Codes {
        let (errno, nfs, ntstatus) = match self {
            Error::NotFound => (2, 2, 0xC000_0034),
            Error::Denied => (13, 13, 0xC000_0022),
            Error::RateLimited => (11, 10008, 0x8000_0011),
            Error::Unavailable => (5, 5, 0xC000_0185),
            Error::TimedOut => (110, 5, 0xC000_00B5),
            Error::TooLarge => (27, 27, 0xC000_0904),
            Error::Invalid => (5, 10006, 0xC000_00E5),
            Error::ReadOnly => (30, 30, 0xC000_00A2),
            Error::NotDirectory => (20, 20, 0xC000_0103),
            Error::IsDirectory => (21, 21, 0xC000_00BA),
            Error::NotSymlink => (22, 22, 0xC000_000D),
            Error::NameTooLong => (36, 63, 0xC000_0106),
            Error::Stale => (116, 70, 0xC000_0123),
        };
        Codes { errno, nfs, ntstatus }
    }
}

/// Why a call by a handle has failed: anything but [`Error::NotFound`], which is an answer about a name.
///
/// Whoever reads a directory takes "no such file" for its end: the C library's `readdir` on Linux,
/// `FindFirstFile` on Windows. A failure told so would be an empty directory to `ls`, and to
/// `rsync --delete` the order to empty the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error(transparent)]
pub struct HandleError(Error);

impl From<Error> for HandleError {
    fn from(error: Error) -> HandleError {
        HandleError(if error == Error::NotFound { Error::Stale } else { error })
    }
}

impl From<HandleError> for Error {
    fn from(error: HandleError) -> Error {
        error.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_by_a_handle_fails_with_what_readers_take_for_the_end_of_a_directory() {
        // STATUS_NO_MORE_FILES, STATUS_NO_SUCH_FILE, STATUS_OBJECT_NAME_NOT_FOUND.
        let ends = [0x8000_0006, 0xC000_000F, 0xC000_0034];
        for error in Error::ALL {
            let told = Error::from(HandleError::from(error));
            let Codes { errno, nfs, ntstatus } = told.codes();
            assert!(errno > 0 && errno != 2 && nfs > 0 && nfs != 2, "{error:?}");
            assert!(!ends.contains(&ntstatus), "{error:?}");
            assert!(told == error || error == Error::NotFound, "{error:?}");
        }
    }

    #[test]
    fn each_error_has_the_codes_of_the_design() {
        let rows = [
            (Error::NotFound, 2, 0xC000_0034),
            (Error::Denied, 13, 0xC000_0022),
            (Error::RateLimited, 10008, 0x8000_0011),
            (Error::Unavailable, 5, 0xC000_0185),
            (Error::TimedOut, 5, 0xC000_00B5),
            (Error::TooLarge, 27, 0xC000_0904),
            (Error::Invalid, 10006, 0xC000_00E5),
            (Error::ReadOnly, 30, 0xC000_00A2),
            (Error::NotDirectory, 20, 0xC000_0103),
            (Error::IsDirectory, 21, 0xC000_00BA),
            (Error::NotSymlink, 22, 0xC000_000D),
            (Error::NameTooLong, 63, 0xC000_0106),
            (Error::Stale, 70, 0xC000_0123),
        ];
        assert_eq!(rows.len(), Error::ALL.len());
        for (error, nfs, ntstatus) in rows {
            assert_eq!(error.codes().nfs, nfs, "{error:?}");
            assert_eq!(error.codes().ntstatus, ntstatus, "{error:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_error_has_the_errno_of_the_design() {
        let rows = [
            (Error::NotFound, libc::ENOENT),
            (Error::Denied, libc::EACCES),
            (Error::RateLimited, libc::EAGAIN),
            (Error::Unavailable, libc::EIO),
            (Error::TimedOut, libc::ETIMEDOUT),
            (Error::TooLarge, libc::EFBIG),
            (Error::Invalid, libc::EIO),
            (Error::ReadOnly, libc::EROFS),
            (Error::NotDirectory, libc::ENOTDIR),
            (Error::IsDirectory, libc::EISDIR),
            (Error::NotSymlink, libc::EINVAL),
            (Error::NameTooLong, libc::ENAMETOOLONG),
            (Error::Stale, libc::ESTALE),
        ];
        assert_eq!(rows.len(), Error::ALL.len());
        for (error, errno) in rows {
            assert_eq!(error.codes().errno, errno, "{error:?}");
        }
    }
}
