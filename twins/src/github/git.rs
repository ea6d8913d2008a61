//! A git object store: the object ids are git's own, so `git hash-object` agrees with them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::requests::hex;

/// A file, directory or submodule in a tree, by git's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    File,
    Executable,
    Symlink,
    Submodule,
    Tree,
}

impl Mode {
    /// As the trees API writes it.
    pub fn octal(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Submodule => "160000",
            Self::Tree => "040000",
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Submodule => "commit",
            Self::Tree => "tree",
            _ => "blob",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TreeEntry {
    pub name: String,
    pub mode: Mode,
    pub oid: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub tree: String,
    pub parents: Vec<String>,
    pub author: (String, String),
    pub time: i64,
    pub message: String,
}

/// The files of a tree by path: mode and object id.
pub(crate) type Files = BTreeMap<String, (Mode, String)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub blobs: BTreeMap<String, Arc<[u8]>>,
    pub trees: BTreeMap<String, Vec<TreeEntry>>,
    pub commits: BTreeMap<String, Commit>,
}

fn object_id(kind: &str, content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", content.len()).as_bytes());
    hash.update(content);
    hex(&hash.finalize())
}

impl Store {
    pub fn blob(&mut self, content: &[u8]) -> String {
        let oid = object_id("blob", content);
        self.blobs.entry(oid.clone()).or_insert_with(|| content.into());
        oid
    }

    /// Writes the trees of these files and returns the root's id.
    pub fn tree(&mut self, files: &Files) -> String {
        let mut entries: Vec<TreeEntry> = Vec::new();
        let mut folders: BTreeMap<&str, Files> = BTreeMap::new();
        for (path, (mode, oid)) in files {
            match path.split_once('/') {
                None => {
                    entries.push(TreeEntry { name: path.clone(), mode: *mode, oid: oid.clone() });
                }
                Some((folder, rest)) => {
                    let inside = folders.entry(folder).or_default();
                    inside.insert(rest.to_owned(), (*mode, oid.clone()));
                }
            }
        }
        for (folder, inside) in &folders {
            let oid = self.tree(inside);
            entries.push(TreeEntry { name: (*folder).to_owned(), mode: Mode::Tree, oid });
        }
        // Git compares a folder's name as if it ended in a slash.
        entries.sort_by_key(|entry| match entry.mode {
            Mode::Tree => format!("{}/", entry.name),
            _ => entry.name.clone(),
        });
        let mut content = Vec::new();
        for entry in &entries {
            let mode = entry.mode.octal().trim_start_matches('0');
            content.extend_from_slice(format!("{mode} {}\0", entry.name).as_bytes());
            for pair in entry.oid.as_bytes().chunks(2) {
                let digits = std::str::from_utf8(pair).unwrap_or("00");
                content.push(u8::from_str_radix(digits, 16).unwrap_or(0));
            }
        }
        let oid = object_id("tree", &content);
        self.trees.insert(oid.clone(), entries);
        oid
    }

    pub fn commit(&mut self, commit: Commit) -> String {
        let (name, email) = &commit.author;
        let mut text = format!("tree {}\n", commit.tree);
        for parent in &commit.parents {
            text.push_str(&format!("parent {parent}\n"));
        }
        let time = commit.time;
        text.push_str(&format!("author {name} <{email}> {time} +0000\n"));
        text.push_str(&format!("committer {name} <{email}> {time} +0000\n\n{}", commit.message));
        let oid = object_id("commit", text.as_bytes());
        self.commits.insert(oid.clone(), commit);
        oid
    }

    /// Every file below a tree.
    pub fn files(&self, tree: &str) -> Files {
        let mut files = Files::new();
        for (path, entry) in self.walk(tree) {
            if entry.mode != Mode::Tree {
                files.insert(path, (entry.mode, entry.oid.clone()));
            }
        }
        files
    }

    /// Every entry below a tree with its path, folders before what they hold.
    pub fn walk(&self, tree: &str) -> Vec<(String, &TreeEntry)> {
        let mut found = Vec::new();
        self.walk_into(tree, "", &mut found);
        found
    }

    fn walk_into<'a>(&'a self, tree: &str, at: &str, found: &mut Vec<(String, &'a TreeEntry)>) {
        for entry in self.trees.get(tree).into_iter().flatten() {
            let path = format!("{at}{}", entry.name);
            found.push((path.clone(), entry));
            if entry.mode == Mode::Tree {
                self.walk_into(&entry.oid, &format!("{path}/"), found);
            }
        }
    }

    /// The entry at a path; the empty path is the tree itself and has none.
    pub fn entry(&self, tree: &str, path: &str) -> Option<&TreeEntry> {
        let mut tree = tree;
        let mut found = None;
        for name in path.split('/').filter(|s| !s.is_empty()) {
            let entry = self.trees.get(tree)?.iter().find(|e| e.name == name)?;
            tree = &entry.oid;
            found = Some(entry);
        }
        found
    }

    /// Commits reachable from `head` and not from `base`, oldest first, by first parent.
    pub fn between(&self, base: &str, head: &str) -> Vec<&str> {
        let mut known = HashSet::new();
        let mut at = Some(base);
        while let Some((oid, commit)) = at.and_then(|oid| self.commits.get_key_value(oid)) {
            known.insert(oid.as_str());
            at = commit.parents.first().map(String::as_str);
        }
        let mut found = Vec::new();
        let mut at = Some(head);
        while let Some((oid, commit)) = at.and_then(|oid| self.commits.get_key_value(oid)) {
            if known.contains(oid.as_str()) {
                break;
            }
            found.push(oid.as_str());
            at = commit.parents.first().map(String::as_str);
        }
        found.reverse();
        found
    }

    /// The newest commit of `head`'s line that `base`'s line holds too.
    pub fn merge_base<'a>(&'a self, base: &'a str, head: &'a str) -> &'a str {
        match self.between(base, head).first().and_then(|oid| self.commits.get(*oid)) {
            Some(first) => first.parents.first().map_or(base, String::as_str),
            None => head,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_ids_are_the_ones_git_computes() {
        let mut store = Store::default();
        // `echo hello | git hash-object --stdin`, and git's well-known empty tree.
        let hello = store.blob(b"hello\n");
        assert_eq!(hello, "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(store.tree(&Files::new()), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let files = Files::from([("a/hello".to_owned(), (Mode::File, hello))]);
        assert_eq!(store.tree(&files), "7c83f87ce814aa0706a48e41945286787e8939e1".to_owned());
    }
}
