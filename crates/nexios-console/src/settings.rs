//! What has a default.

use nexios_axum::AppHandle;

/// Bytes of the store.
const MEMORY: usize = 8 << 20;

pub(crate) struct Settings {
    /// The name in the header; else that of the program.
    pub(crate) service: Option<String>,
    pub(crate) actions: bool,
    pub(crate) memory: usize,
    pub(crate) app: Option<AppHandle>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            service: None,
            actions: false,
            memory: MEMORY,
            app: None,
        }
    }
}
