//! NTSTATUS values ([MS-ERREF] section 2.3).

use crate::{Error, HandleError};
use std::fmt;

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    pub const BUFFER_OVERFLOW: Status = Status(0x8000_0005);
    pub const INVALID_DEVICE_REQUEST: Status = Status(0xC000_0010);
    pub const END_OF_FILE: Status = Status(0xC000_0011);
    pub const OBJECT_NAME_INVALID: Status = Status(0xC000_0033);
    pub const OBJECT_NAME_NOT_FOUND: Status = Status(0xC000_0034);
    pub const OBJECT_PATH_NOT_FOUND: Status = Status(0xC000_003A);
    pub const SHARING_VIOLATION: Status = Status(0xC000_0043);
    pub const MEDIA_WRITE_PROTECTED: Status = Status(0xC000_00A2);
    pub const FILE_IS_A_DIRECTORY: Status = Status(0xC000_00BA);
    pub const NOT_A_DIRECTORY: Status = Status(0xC000_0103);
    pub const NOT_A_REPARSE_POINT: Status = Status(0xC000_0275);
    pub const REPARSE_POINT_NOT_RESOLVED: Status = Status(0xC000_0280);

    /// Of a directory that is being read, where "no such name" is how Windows says that it is empty.
    pub fn of_handle(self) -> Status {
        match self {
            Status::OBJECT_NAME_NOT_FOUND | Status::OBJECT_PATH_NOT_FOUND => Error::Stale.into(),
            other => other,
        }
    }

    /// As the system's signed type has it.
    pub fn raw(self) -> i32 {
        self.0.cast_signed()
    }
}

impl From<HandleError> for Status {
    fn from(error: HandleError) -> Status {
        Error::from(error).into()
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        Status(error.codes().ntstatus)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#010x})", self.0)
    }
}

pub type Result<T> = std::result::Result<T, Status>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_by_the_table_and_none_as_a_success() {
        for error in Error::ALL {
            let status = Status::from(error);
            assert_eq!(status.0, error.codes().ntstatus);
            assert!(status.raw() < 0, "{error:?} would be a success");
        }
        assert_eq!(Status::from(Error::ReadOnly), Status::MEDIA_WRITE_PROTECTED);
        assert_eq!(Status::from(Error::NotFound), Status::OBJECT_NAME_NOT_FOUND);
        assert_eq!(Status::from(Error::IsDirectory), Status::FILE_IS_A_DIRECTORY);
        assert_eq!(Status::from(Error::NotDirectory), Status::NOT_A_DIRECTORY);
    }
}
