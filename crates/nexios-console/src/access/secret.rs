use std::fmt;

use subtle::ConstantTimeEq;

/// A text that `Debug` does not show, and that is compared in a time that tells nothing about it but its length.
///
/// # Examples
///
/// ```
/// use nexios_console::Secret;
///
/// let secret = Secret::from("correct horse battery staple"); // such as from an environment variable
/// assert_eq!(format!("{secret:?}"), "Secret(•••)"); // may stand in a settings' `Debug`
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same text behind the name of its user.
    pub(super) fn after(&self, user: &str) -> Self {
        Self(format!("{user}:{}", self.0))
    }

    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(•••)")
    }
}
