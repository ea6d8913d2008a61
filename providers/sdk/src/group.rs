//! The items of a listing by a value that they have: a directory for each label, and in it those that have it.

use crate::{Entry, Listing, Tree};
use std::collections::BTreeMap;

/// Bytes of the longest value that has a directory: the directory's id holds it.
const LONGEST: usize = 255;

/// Items by a value of theirs; one that has several is among each of them.
#[derive(Debug)]
pub struct Groups<'a, T>(BTreeMap<&'a str, Vec<&'a T>>);

impl<'a, T> Groups<'a, T> {
    /// Of how many items at most a listing that is asked for offers its groups. A group of a longer one is made
    /// when somebody looks.
    pub const MOST_OFFERED: usize = 5_000;

    /// `values` says which values an item has.
    pub fn new(
        items: impl IntoIterator<Item = &'a T>,
        values: impl Fn(&'a T) -> Vec<&'a str>,
    ) -> Self {
        let mut groups: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
        for item in items {
            for value in values(item) {
                groups.entry(value).or_default().push(item);
            }
        }
        Groups(groups)
    }

    /// A directory for each value, as `id` knows it. What is left out is said.
    pub fn directories<I: Tree>(&self, id: impl Fn(String) -> I) -> Listing<I> {
        let entry = |(value, _): (&str, &[&T])| Entry::directory(value, id(value.to_owned()));
        let entries: Vec<_> = self.shown().map(entry).collect();
        if entries.len() < self.0.len() {
            let note = format!("names of more than {LONGEST} bytes are left out");
            return Listing::partial(entries, note);
        }
        entries.into()
    }

    /// The values that have a directory, and the items of each.
    pub fn shown(&self) -> impl Iterator<Item = (&'a str, &[&'a T])> {
        let groups = self.0.iter().map(|(value, items)| (*value, items.as_slice()));
        groups.filter(|(value, _)| value.len() <= LONGEST)
    }

    /// The items that have this value.
    pub fn of(&self, value: &str) -> &[&'a T] {
        self.0.get(value).map_or(&[], Vec::as_slice)
    }
}

/// An enum whose variants are words, as an id holds them.
#[macro_export]
macro_rules! words {
    ($Name:ident { $($Variant:ident = $word:literal),+ $(,)? }) => {
        impl ::std::fmt::Display for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(match self { $($Name::$Variant => $word),+ })
            }
        }

        impl ::std::str::FromStr for $Name {
            type Err = ();

            fn from_str(text: &str) -> ::std::result::Result<Self, ()> {
                match text { $($word => Ok($Name::$Variant),)+ _ => Err(()) }
            }
        }
    };
}
