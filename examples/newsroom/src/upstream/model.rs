//! What client and server of the upstream API tell each other.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) joined: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Post {
    pub(crate) id: u64,
    pub(crate) title: String,
    pub(crate) published: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Statistics {
    pub(crate) posts: u64,
    pub(crate) views: u64,
    pub(crate) followers: u64,
}

/// How a call shall go wrong, to try what the dashboard does then.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// Milliseconds before the answer, at most a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// A status to answer instead, 400 to 599.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
}

impl Trial {
    /// Says what is wrong, in a client's words.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self.status {
            None | Some(400..=599) => Ok(()),
            Some(_) => Err("`status` is a number from 400 to 599."),
        }
    }
}
