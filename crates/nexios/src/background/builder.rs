use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

use super::{
    bounds::Bounds,
    info::TaskInfo,
    notices::{Function, Hook},
    registry::Registry,
};

/// Settings of a [`Background`](crate::Background).
#[derive(Clone)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct BackgroundBuilder {
    name: Option<Cow<'static, str>>,
    made_at: &'static Location<'static>,
    bounds: Bounds,
    hook: Option<Function>,
}

impl BackgroundBuilder {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self {
            name: None,
            made_at: Location::caller(),
            bounds: Bounds::default(),
            hook: None,
        }
    }

    /// Names the registry for whoever observes it: see [`observe`](crate::observe). Default: the place where it was made.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Runs at most `limit` tasks at once; the others wait. Default: no limit but [`live`](Self::live).
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            limit > 0,
            "limit({limit}): at least one task must be able to run"
        );
        self.bounds.limit = limit;
        self
    }

    /// Lets at most `queue` tasks wait for a slot; zero means that none waits. Default: no limit but
    /// [`live`](Self::live).
    pub fn queue(mut self, queue: usize) -> Self {
        self.bounds.queue = queue;
        self
    }

    /// Lets at most `live` tasks run and wait together. Default: 10,000.
    ///
    /// # Panics
    ///
    /// Panics if `live` is zero.
    #[track_caller]
    pub fn live(mut self, live: usize) -> Self {
        assert!(
            live > 0,
            "live({live}): at least one task must be able to run"
        );
        self.bounds.live = live;
        self
    }

    /// Keeps the newest `history` finished tasks visible. Default: 1,000.
    pub fn history(mut self, history: usize) -> Self {
        self.bounds.history = history;
        self
    }

    /// Calls `hook` about every task that fails; see [`Background::on_error`](crate::Background::on_error). Default: none.
    pub fn on_error(mut self, hook: impl Fn(&TaskInfo) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    pub(super) fn into_registry(self) -> Registry {
        let label = self.name.unwrap_or_else(|| self.made_at.to_string().into());
        Registry::new(label, self.bounds, Hook::new(self.hook))
    }
}

impl fmt::Debug for BackgroundBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundBuilder")
            .field("name", &self.name)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
