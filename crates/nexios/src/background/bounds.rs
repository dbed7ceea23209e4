//! How many tasks a registry has: running, waiting, and finished ones that are still shown.

#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Most tasks that run at once.
    pub(super) limit: usize,
    /// Most tasks that wait.
    pub(super) queue: usize,
    /// Most tasks that run and wait together.
    pub(super) live: usize,
    /// Most finished tasks that are shown.
    pub(super) history: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            limit: usize::MAX,
            queue: usize::MAX,
            live: 10_000,
            history: 1_000,
        }
    }
}
