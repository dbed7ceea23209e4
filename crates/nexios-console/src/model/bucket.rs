//! Requests by how long they took, or how they went wrong.

use std::{
    ops::{Index, IndexMut},
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bucket {
    Lt10ms,
    Lt50ms,
    Lt100ms,
    Lt250ms,
    Lt500ms,
    Lt1s,
    Lt5s,
    Ge5s,
    Failed,
    Cancelled,
}

impl Bucket {
    pub(crate) const ALL: [Self; 10] = [
        Self::Lt10ms,
        Self::Lt50ms,
        Self::Lt100ms,
        Self::Lt250ms,
        Self::Lt500ms,
        Self::Lt1s,
        Self::Lt5s,
        Self::Ge5s,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word for it in JSON, in HTML and in addresses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lt10ms => "lt10ms",
            Self::Lt50ms => "lt50ms",
            Self::Lt100ms => "lt100ms",
            Self::Lt250ms => "lt250ms",
            Self::Lt500ms => "lt500ms",
            Self::Lt1s => "lt1s",
            Self::Lt5s => "lt5s",
            Self::Ge5s => "ge5s",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The bucket of what went well after this time.
    pub(crate) fn by_time(took: Duration) -> Self {
        match took.as_millis() {
            ..10 => Self::Lt10ms,
            10..50 => Self::Lt50ms,
            50..100 => Self::Lt100ms,
            100..250 => Self::Lt250ms,
            250..500 => Self::Lt500ms,
            500..1_000 => Self::Lt1s,
            1_000..5_000 => Self::Lt5s,
            5_000.. => Self::Ge5s,
        }
    }
}

/// A number for each bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts([usize; Bucket::ALL.len()]);

impl Index<Bucket> for Counts {
    type Output = usize;

    fn index(&self, bucket: Bucket) -> &usize {
        &self.0[bucket as usize]
    }
}

impl IndexMut<Bucket> for Counts {
    fn index_mut(&mut self, bucket: Bucket) -> &mut usize {
        &mut self.0[bucket as usize]
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for bucket in Bucket::ALL {
            map.serialize_entry(bucket.as_str(), &self[bucket])?;
        }
        map.end()
    }
}
