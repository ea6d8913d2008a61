//! A string that is not shown.

use zeroize::Zeroizing;

/// A token, key or password. It cannot be printed, formatted or serialized, and its memory is wiped
/// when it is dropped.
///
/// ```compile_fail
/// fn shown(secret: omnifs::credentials::Secret) -> String {
///     format!("{secret:?}")
/// }
/// ```
///
/// ```compile_fail
/// fn shown(secret: omnifs::credentials::Secret) -> String {
///     secret.to_string()
/// }
/// ```
///
/// ```compile_fail
/// fn shown(secret: omnifs::credentials::Secret) -> String {
///     serde_json::to_string(&secret).unwrap()
/// }
/// ```
// No Debug is the point of the type.
#[allow(missing_debug_implementations)]
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the string over without a copy.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The string without surrounding white space; `None` where nothing is left.
    pub fn trimmed(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        let inner = text.trim();
        (!inner.is_empty()).then(|| Secret::new(inner.to_owned()))
    }

    /// The text itself, for a header or a key. Whoever calls this keeps the invariant of the module.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can travel in a header.
    pub(super) fn is_line(&self) -> bool {
        self.0.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    }
}
