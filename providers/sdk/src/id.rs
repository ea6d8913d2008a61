//! Typed node ids. An id is `TAG/PARAM/PARAM`, and a leaf of an object is `ID#LEAF` or, in a map,
//! `ID#LEAF/KEY`. `%`, `/`, `#` and control characters inside a parameter or key are written `%XX`,
//! so that every id can be read back.

pub use crate::Coherence;
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// An enum whose variants are the provider's kinds of objects. Written by [`ids!`](crate::ids).
pub trait NodeId: Clone + Sized + 'static {
    fn encode(&self) -> String;
    /// `None` for what [`encode`](NodeId::encode) never wrote.
    fn decode(text: &str) -> Option<Self>;
    /// How long the host may serve an object of this kind without asking again.
    fn coherence(&self) -> Coherence;
}

/// Valid until an event of this scope says otherwise.
pub fn scoped(scope: impl Into<String>) -> Coherence {
    Coherence::Scoped(scope.into())
}

/// The object with this id never changes: a blob by its hash.
pub fn immutable() -> Coherence {
    Coherence::Immutable
}

/// No event tells of a change: asked again at each open.
pub fn volatile() -> Coherence {
    Coherence::Volatile
}

/// Declares the id enum of a provider: `Variant(param: Type, ...) = "tag": coherence`, where the
/// first row gives the coherence of those that name none.
///
/// A tag is a short word without `/` and `#`, one for each variant, and stays for ever: inodes
/// are derived from it. A parameter is anything with `Display` and `FromStr`. The coherence is an
/// expression over references to the parameters. Fixed directories are immutable whatever it says.
///
/// ```
/// use omnifs_sdk::{NodeId, ids, immutable, scoped};
/// ids! {
///     pub enum Id {
///         _: immutable(),
///         Root = "root",
///         Blob(sha: String) = "blob",
///         Issue(repo: u64, number: u64) = "issue": scoped(format!("repo/{repo}")),
///         Label(repo: u64, name: String) = "label": scoped(format!("repo/{repo}")),
///     }
/// }
/// assert_eq!(Id::Issue(7, 12).encode(), "issue/7/12");
/// assert_eq!(Id::Label(7, "a/b".into()).encode(), "label/7/a%2Fb");
/// assert_eq!(Id::decode("label/7/a%2Fb"), Some(Id::Label(7, "a/b".into())));
/// assert_eq!(Id::decode("issue/7"), None);
/// ```
#[macro_export]
macro_rules! ids {
    ($(#[$meta:meta])* $vis:vis enum $Name:ident { _: $default:expr, $(
        $(#[$row:meta])* $Variant:ident $( ( $($param:ident : $Type:ty),+ $(,)? ) )?
        = $tag:literal $( : $coherence:expr )?
    ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $Name { $( $(#[$row])* $Variant $( ( $($Type),+ ) )? ),* }

        impl $crate::NodeId for $Name {
            fn encode(&self) -> ::std::string::String {
                match self { $(
                    $Name::$Variant $( ( $($param),+ ) )? =>
                        $crate::id::join($tag, &[ $( $( $param ),+ )? ]),
                )* }
            }

            fn decode(text: &str) -> ::std::option::Option<Self> {
                let mut parts = $crate::id::Parts::of(text);
                let id = match parts.tag {
                    $( $tag => $Name::$Variant $( ( $( parts.param::<$Type>()? ),+ ) )?, )*
                    _ => return ::std::option::Option::None,
                };
                parts.end().then_some(id)
            }

            fn coherence(&self) -> $crate::Coherence {
                match self { $(
                    $Name::$Variant $( ( $($param),+ ) )? => {
                        $( $( let _ = $param; )+ )?
                        $crate::__first!($( $coherence, )? $default)
                    }
                )* }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

#[doc(hidden)]
pub fn join(tag: &str, params: &[&dyn Display]) -> String {
    debug_assert!(!tag.contains(['/', '#']), "the id tag {tag:?} must not contain / or #");
    // Room for a number or two: a listing makes tens of thousands.
    let mut id = String::with_capacity(tag.len() + 16 * params.len());
    id.push_str(tag);
    for param in params {
        id.push('/');
        // Writing to memory does not fail.
        let _ = write!(Escaped(&mut id), "{param}");
    }
    id
}

/// Escapes what is written to it.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape_into(self.0, text);
        Ok(())
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Parts<'a> {
    pub tag: &'a str,
    rest: std::str::Split<'a, char>,
}

impl<'a> Parts<'a> {
    pub fn of(text: &'a str) -> Self {
        let mut rest = text.split('/');
        Parts { tag: rest.next().unwrap_or_default(), rest }
    }

    pub fn param<T: FromStr>(&mut self) -> Option<T> {
        unescape(self.rest.next()?)?.parse().ok()
    }

    pub fn end(mut self) -> bool {
        self.rest.next().is_none()
    }
}

/// The id of an object's leaf, or of one entry of the map `leaf`.
pub(crate) fn leaf(object: &str, leaf: &str, key: Option<&str>) -> String {
    let mut id = String::with_capacity(object.len() + 1 + leaf.len() + key.map_or(0, str::len) + 1);
    id.push_str(object);
    id.push('#');
    id.push_str(leaf);
    if let Some(key) = key {
        id.push('/');
        escape_into(&mut id, key);
    }
    id
}

/// What a node id points at: an id alone, or a leaf of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub object: &'a str,
    pub leaf: Option<&'a str>,
    pub key: Option<String>,
}

impl<'a> Address<'a> {
    /// `None` where a key's escapes are broken.
    pub fn of(id: &'a str) -> Option<Self> {
        let Some((object, rest)) = id.split_once('#') else {
            return Some(Address { object: id, leaf: None, key: None });
        };
        let (leaf, key) = match rest.split_once('/') {
            Some((leaf, key)) => (leaf, Some(unescape(key)?)),
            None => (rest, None),
        };
        Some(Address { object, leaf: Some(leaf), key })
    }
}

fn escape_into(out: &mut String, text: &str) {
    let mut rest = text;
    let special = |c: char| matches!(c, '%' | '/' | '#') || c.is_ascii_control();
    while let Some(at) = rest.find(special) {
        out.push_str(&rest[..at]);
        // All of them are ASCII.
        out.push_str(&format!("%{:02X}", rest.as_bytes()[at]));
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = u8::from_str_radix(after.get(..2)?, 16).ok().filter(u8::is_ascii)?;
        out.push(char::from(code));
        rest = &after[2..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    ids! {
        enum Id {
            _: immutable(),
            Root = "root",
            Named(name: String) = "named": scoped("all"),
            Pair(a: u64, b: String) = "pair": scoped(format!("n/{a}")),
        }
    }

    #[test]
    fn every_id_is_read_back_whatever_its_parameters_hold() {
        for name in ["", "a", "a/b", "a#b", "100%", "%2F", "\n\0\u{7f}", "..", "\u{1f600}/\u{e9}"] {
            for id in [Id::Root, Id::Named(name.into()), Id::Pair(u64::MAX, name.into())] {
                let text = id.encode();
                assert_eq!(Id::decode(&text), Some(id), "{text:?}");
                assert!(!text.contains('#'));
            }
        }
    }

    #[test]
    fn what_was_never_encoded_is_not_decoded() {
        for text in [
            "",
            "rooted",
            "root/",
            "named",
            "pair/1",
            "pair/x/y",
            "pair/1/a/b",
            "named/%2",
            "named/%zz",
        ] {
            assert_eq!(Id::decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_scope_is_computed_from_the_parameters() {
        assert!(
            matches!(Id::Pair(7, String::new()).coherence(), Coherence::Scoped(s) if s == "n/7")
        );
    }

    #[test]
    fn a_leaf_address_is_read_back() {
        let object = Id::Named("a#b".into()).encode();
        for key in ["k", "a/b#c", "%"] {
            let text = leaf(&object, "labels", Some(key));
            let address = Address::of(&text).unwrap();
            assert_eq!((address.object, address.leaf), (object.as_str(), Some("labels")));
            assert_eq!(address.key.as_deref(), Some(key));
        }
        assert_eq!(Address::of(&object).unwrap().leaf, None);
    }
}
