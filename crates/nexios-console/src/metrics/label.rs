//! Labels that are cheap to copy and to compare.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

/// The value of a label.
#[derive(Clone)]
pub(super) enum Value {
    Fixed(&'static str),
    Given(Arc<str>),
}

impl Value {
    /// A label without a value is left out.
    pub(super) const NONE: Self = Self::Fixed("");
}

impl Deref for Value {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Given(text) => text,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self, state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        str::fmt(self, f)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

/// The labels of a number, with the keys that its family has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Labels<const N: usize>(pub(super) [(&'static str, Value); N]);

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (key, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            (*key, &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
