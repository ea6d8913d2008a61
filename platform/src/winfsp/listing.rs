//! One reading of a directory, paged by markers.
//!
//! Windows goes on after the name that it was told last. So the entries stand in the order of their
//! shown names, upper-cased: the place after a marker is then the same in every reading, and an
//! entry that stays is told exactly once whatever comes and goes beside it, also where the marker
//! itself is gone.

use super::cases::Index;
use super::info::FileInfo;
use super::names;
use crate::{DirEntry, Inode, Kind};
use std::sync::OnceLock;
use std::time::SystemTime;

#[derive(Debug)]
pub(super) struct Row {
    /// The order, and what a marker is compared with.
    key: Vec<u16>,
    pub shown: Vec<u16>,
    pub name: Box<str>,
    pub inode: Inode,
    pub kind: Kind,
    /// Once it is known.
    pub info: OnceLock<FileInfo>,
}

#[derive(Debug)]
pub(super) struct Listing {
    /// `.` and `..`, which the root has not.
    pub dots: Option<[FileInfo; 2]>,
    pub rows: Vec<Row>,
    pub modified: SystemTime,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Of `.` and `..`, the first to tell.
    pub dot: usize,
    pub row: usize,
}

impl Listing {
    pub fn new(
        dots: Option<[FileInfo; 2]>,
        index: &Index,
        entries: Vec<(DirEntry, OnceLock<FileInfo>)>,
        modified: SystemTime,
    ) -> Listing {
        let row = |(entry, info): (DirEntry, OnceLock<FileInfo>)| {
            let shown = index.shown(&entry.name);
            Row {
                key: names::fold(&shown),
                shown,
                name: entry.name.into(),
                inode: entry.inode,
                kind: entry.kind,
                info,
            }
        };
        let mut rows: Vec<Row> = entries.into_iter().map(row).collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Listing { dots, rows, modified }
    }

    /// The place after a marker; without one the beginning.
    pub fn after(&self, marker: Option<&[u16]>) -> Start {
        const DOT: u16 = b'.' as u16;
        match marker {
            None => Start { dot: 0, row: 0 },
            Some([DOT]) => Start { dot: 1, row: 0 },
            Some([DOT, DOT]) => Start { dot: 2, row: 0 },
            Some(name) => {
                let key = names::fold(name);
                Start { dot: 2, row: self.rows.partition_point(|row| row.key <= key) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(all: &[&str]) -> Listing {
        let index = Index::new(all.iter().copied());
        let entries = all.iter().map(|name| {
            let entry = DirEntry {
                name: (*name).into(),
                cookie: 1,
                inode: Inode(1),
                kind: Kind::File,
                entry: None,
            };
            (entry, OnceLock::new())
        });
        Listing::new(None, &index, entries.collect(), SystemTime::UNIX_EPOCH)
    }

    fn after(listing: &Listing, marker: &str) -> Option<String> {
        let marker: Vec<u16> = marker.encode_utf16().collect();
        let row = listing.after(Some(&marker)).row;
        listing.rows.get(row).map(|row| row.name.to_string())
    }

    #[test]
    fn a_page_begins_after_its_marker_in_any_case_and_where_it_is_gone() {
        let all = listing(&["b", "C", "a", "d"]);
        assert_eq!(all.after(None), Start { dot: 0, row: 0 });
        assert_eq!(all.after(Some(&[46])), Start { dot: 1, row: 0 });
        assert_eq!(all.after(Some(&[46, 46])), Start { dot: 2, row: 0 });
        assert_eq!(after(&all, "a").as_deref(), Some("b"));
        assert_eq!(after(&all, "B").as_deref(), Some("C"));
        assert_eq!(after(&all, "d"), None);
        assert_eq!(after(&listing(&["a", "d"]), "b").as_deref(), Some("d"));
    }
}
