//! Whose code runs on this thread.

use std::cell::RefCell;

use super::{handle::Handle, identity::WorkId};

thread_local! {
    /// The innermost observed work that is polled or run here.
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The innermost work that is polled or run on this thread right now; a group is, for its body. `None` outside of all work
/// that is observed.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::observe;
///
/// # struct Anybody;
/// # impl observe::Observer for Anybody {}
/// # let _observing = observe::observe(std::sync::Arc::new(Anybody));
/// let import = observe::custom("import");
/// let id = import.id();
/// assert_eq!(import.run(async { observe::current() }).await, id);
/// assert_eq!(observe::current(), None);
/// # }
/// ```
#[must_use]
pub fn current() -> Option<WorkId> {
    CURRENT
        .try_with(|current| current.borrow().as_ref().map(Handle::id))
        .ok()
        .flatten()
}

/// The same, with those who were told of it.
pub(super) fn innermost() -> Option<Handle> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// What runs on this thread is code of this work, until the guard is dropped.
pub(super) fn enter(work: &Handle) -> Place {
    Place(replace(Some(work.clone())))
}

/// Gives the thread back to the outer work when it is dropped, also while a panic unwinds.
#[must_use = "it leaves when it is dropped"]
pub(super) struct Place(Option<Handle>);

impl Drop for Place {
    fn drop(&mut self) {
        drop(replace(self.0.take()));
    }
}

fn replace(work: Option<Handle>) -> Option<Handle> {
    // A thread that ends may have lost it, and then nobody looks.
    CURRENT
        .try_with(|current| current.replace(work))
        .ok()
        .flatten()
}
