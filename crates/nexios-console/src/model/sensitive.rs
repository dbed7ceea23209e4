//! What not everybody who may look may read: error texts, messages, URIs.

use serde::Serialize;

use crate::access::Access;

/// A text that may tell of users or of the inside of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Sensitive(String);

impl Sensitive {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, or `•••` once it is hidden.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What may have sensitive texts in it.
pub(crate) trait Redact: Sized {
    /// Hides each sensitive text.
    fn hide(&mut self);

    /// What somebody with this access may see of it. The one place where that is decided.
    fn redacted(mut self, access: Access) -> Self {
        if access < Access::ViewSensitive {
            self.hide();
        }
        self
    }
}

impl Redact for Sensitive {
    fn hide(&mut self) {
        "•••".clone_into(&mut self.0);
    }
}

impl<T: Redact> Redact for Option<T> {
    fn hide(&mut self) {
        self.iter_mut().for_each(Redact::hide);
    }
}

impl<T: Redact> Redact for Vec<T> {
    fn hide(&mut self) {
        self.iter_mut().for_each(Redact::hide);
    }
}
