//! The security descriptor of everything in the volume ([MS-DTYP] sections 2.4.2 to 2.4.6).
//!
//! One for all: it is nobody's (see [`crate::owner`]); the mounting user and the administrators may do
//! anything, others nothing, or read with `allow_other`. "Anything" because the volume is read-only whoever asks: a write gets as far
//! as this back end and is answered as write-protected, which says more than "access denied", and a
//! file that is copied off the volume with its descriptor can still be deleted by its user.

use std::fmt;
use std::str::FromStr;

/// `FILE_ALL_ACCESS`.
const ALL: u32 = 0x001F_01FF;
/// `FILE_GENERIC_READ | FILE_GENERIC_EXECUTE`.
const READ: u32 = 0x0012_00A9;

/// The DACL is there, and it inherits nothing; the parts follow the header.
const CONTROL: u16 = 0x0004 | 0x1000 | 0x8000;
/// Bytes of a self-relative descriptor's header.
const HEADER: usize = 20;

/// A security identifier, `S-1-5-21-...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sid {
    authority: u64,
    parts: Vec<u32>,
}

/// It is not a security identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a security identifier")]
pub struct NotASid;

/// More cannot be (`SID_MAX_SUB_AUTHORITIES`).
const MOST_PARTS: usize = 15;

impl Sid {
    fn well_known(authority: u64, parts: &[u32]) -> Sid {
        Sid { authority, parts: parts.to_vec() }
    }

    /// `BUILTIN\Administrators`.
    pub fn administrators() -> Sid {
        Sid::well_known(5, &[32, 544])
    }

    /// What the layer between POSIX and Windows identifiers makes of the user `nobody`.
    fn nobody() -> Sid {
        Sid::well_known(0, &[65_534])
    }

    pub fn everyone() -> Sid {
        Sid::well_known(1, &[0])
    }

    /// Reads the binary form, as tokens hold it. Bytes after its end are left alone.
    pub fn from_bytes(bytes: &[u8]) -> Result<Sid, NotASid> {
        let (&[1, count, ref authority @ ..], rest) =
            bytes.split_first_chunk::<8>().ok_or(NotASid)?
        else {
            return Err(NotASid);
        };
        let authority = authority.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let parts = rest.get(..4 * usize::from(count)).ok_or(NotASid)?;
        let parts: Vec<u32> =
            parts.as_chunks::<4>().0.iter().map(|part| u32::from_le_bytes(*part)).collect();
        if parts.len() > MOST_PARTS { Err(NotASid) } else { Ok(Sid { authority, parts }) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.parts.len() as u8];
        bytes.extend_from_slice(&self.authority.to_be_bytes()[2..]);
        self.parts.iter().for_each(|part| bytes.extend_from_slice(&part.to_le_bytes()));
        bytes
    }
}

impl FromStr for Sid {
    type Err = NotASid;

    fn from_str(text: &str) -> Result<Sid, NotASid> {
        let mut fields = text.strip_prefix("S-1-").ok_or(NotASid)?.split('-');
        let authority: u64 = fields.next().and_then(|field| field.parse().ok()).ok_or(NotASid)?;
        let parts = fields.map(str::parse).collect::<Result<Vec<_>, _>>().map_err(|_| NotASid)?;
        if authority >> 48 != 0 || parts.len() > MOST_PARTS {
            return Err(NotASid);
        }
        Ok(Sid { authority, parts })
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

/// Whose the volume is, and who may use it with what access mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    owner: Sid,
    allowed: Vec<(Sid, u32)>,
}

impl Descriptor {
    pub fn new(user: Sid, allow_other: bool) -> Descriptor {
        let mut allowed = vec![(user, ALL), (Sid::administrators(), ALL)];
        if allow_other {
            allowed.push((Sid::everyone(), READ));
        }
        Descriptor { owner: Sid::nobody(), allowed }
    }

    /// In the security descriptor definition language, for people and for tests.
    pub fn sddl(&self) -> String {
        let mut text = format!("O:{0}G:{0}D:P", self.owner);
        for (sid, mask) in &self.allowed {
            text.push_str(&format!("(A;;{mask:#x};;;{sid})"));
        }
        text
    }

    /// Self-relative, as file systems hand it to the system.
    pub fn to_bytes(&self) -> Vec<u8> {
        let owner = self.owner.to_bytes();
        let mut entries = Vec::new();
        for (sid, mask) in &self.allowed {
            let sid = sid.to_bytes();
            // ACCESS_ALLOWED_ACE, without flags.
            entries.extend_from_slice(&[0, 0]);
            entries.extend_from_slice(&(8 + sid.len() as u16).to_le_bytes());
            entries.extend_from_slice(&mask.to_le_bytes());
            entries.extend_from_slice(&sid);
        }
        let mut list = vec![2, 0];
        list.extend_from_slice(&(8 + entries.len() as u16).to_le_bytes());
        list.extend_from_slice(&(self.allowed.len() as u16).to_le_bytes());
        list.extend_from_slice(&[0, 0]);
        list.append(&mut entries);

        // The group is the owner too: a user on Windows needs none.
        let group_at = HEADER + owner.len();
        let list_at = group_at + owner.len();
        let mut bytes = vec![1, 0];
        bytes.extend_from_slice(&CONTROL.to_le_bytes());
        for offset in [HEADER, group_at, 0, list_at] {
            bytes.extend_from_slice(&(offset as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&owner);
        bytes.extend_from_slice(&owner);
        bytes.append(&mut list);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1004336348-1177238915-682003330-1001";

    #[test]
    fn identifiers_are_read_in_both_forms() {
        for text in [USER, "S-1-5-32-544", "S-1-1-0", "S-1-5-18"] {
            let sid: Sid = text.parse().unwrap();
            assert_eq!(sid.to_string(), text);
            assert_eq!(Sid::from_bytes(&sid.to_bytes()), Ok(sid));
        }
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        assert_eq!(Sid::from_bytes(&administrators), Ok(Sid::administrators()));
        let long = format!("S-1-5{}", "-1".repeat(16));
        for bad in ["", "S-1-", "S-2-5", "S-1-5-x", "s-1-5", "S-1-281474976710656", &long] {
            assert_eq!(bad.parse::<Sid>(), Err(NotASid), "{bad}");
        }
        for bad in [&[1_u8, 1, 0, 0, 0, 0, 0][..], &[2, 0, 0, 0, 0, 0, 0, 5], &administrators[..15]]
        {
            assert_eq!(Sid::from_bytes(bad), Err(NotASid));
        }
    }

    #[test]
    fn the_user_and_administrators_are_let_in_and_others_only_if_allowed() {
        let user: Sid = USER.parse().unwrap();
        let closed = Descriptor::new(user.clone(), false);
        let nobody = "S-1-0-65534";
        assert_eq!(
            closed.sddl(),
            format!("O:{nobody}G:{nobody}D:P(A;;0x1f01ff;;;{USER})(A;;0x1f01ff;;;S-1-5-32-544)")
        );
        let open = Descriptor::new(user, true);
        assert_eq!(open.sddl(), format!("{}(A;;0x1200a9;;;S-1-1-0)", closed.sddl()));
    }

    #[test]
    fn the_binary_form_is_laid_out_as_the_specification_says() {
        let user: Sid = "S-1-5-18".parse().unwrap();
        let bytes = Descriptor::new(user, true).to_bytes();
        let expected: &[&[u8]] = &[
            // Revision, padding, control; owner at 20, group at 32, no SACL, DACL at 44.
            &[1, 0, 0x04, 0x90, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0],
            &[1, 1, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF, 0, 0],
            &[1, 1, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF, 0, 0],
            // Revision, size, count.
            &[2, 0, 72, 0, 3, 0, 0, 0],
            &[0, 0, 20, 0, 0xFF, 0x01, 0x1F, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
            &[0, 0, 24, 0, 0xFF, 0x01, 0x1F, 0],
            &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0],
            &[0, 0, 20, 0, 0xA9, 0x00, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }

    /// The system's own reader of the textual form comes to the same bytes.
    #[cfg(windows)]
    #[test]
    fn the_system_makes_the_same_bytes_of_the_textual_form() {
        use std::ffi::c_void;
        #[link(name = "advapi32")]
        unsafe extern "system" {
            fn ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text: *const u16,
                revision: u32,
                descriptor: *mut *mut c_void,
                size: *mut u32,
            ) -> i32;
            fn GetSecurityDescriptorDacl(
                descriptor: *const c_void,
                present: *mut i32,
                list: *mut *mut u8,
                defaulted: *mut i32,
            ) -> i32;
        }
        for allow_other in [false, true] {
            let descriptor = Descriptor::new(USER.parse().unwrap(), allow_other);
            let text: Vec<u16> = descriptor.sddl().encode_utf16().chain([0]).collect();
            let (mut theirs, mut size) = (std::ptr::null_mut(), 0);
            // SAFETY: the text ends with a NUL, and both results have a place.
            let done = unsafe {
                ConvertStringSecurityDescriptorToSecurityDescriptorW(
                    text.as_ptr(),
                    1,
                    &mut theirs,
                    &mut size,
                )
            };
            assert_ne!(done, 0);
            let ours = descriptor.to_bytes();
            // The parts may be in another order; the access lists must be the same bytes.
            let list = |descriptor: *const c_void| {
                let (mut present, mut defaulted, mut list) = (0, 0, std::ptr::null_mut());
                // SAFETY: a valid descriptor; its list lies within it and says its own size.
                unsafe {
                    assert_ne!(
                        GetSecurityDescriptorDacl(
                            descriptor,
                            &mut present,
                            &mut list,
                            &mut defaulted
                        ),
                        0
                    );
                    let size = u16::from_le_bytes([*list.add(2), *list.add(3)]);
                    std::slice::from_raw_parts(list, size.into()).to_vec()
                }
            };
            assert_eq!(list(ours.as_ptr().cast()), list(theirs));
            assert_eq!(ours.len(), size as usize);
        }
    }
}
