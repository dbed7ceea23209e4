//! One value for each thread that asks for it, owned by whoever keeps them all.

#[cfg(not(nexios_shuttle))]
use thread_local::ThreadLocal;

#[cfg(not(nexios_shuttle))]
use crate::panics::{bury, caught};

/// A value of each thread. One that a thread leaves behind as it ends is a later thread's.
#[cfg(not(nexios_shuttle))]
pub(crate) struct PerThread<T: Send>(ThreadLocal<T>);

#[cfg(not(nexios_shuttle))]
impl<T: Send> PerThread<T> {
    pub(crate) const fn new() -> Self {
        Self(ThreadLocal::new())
    }

    /// Shows `f` this thread's value, if it has one.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.get().map(f)
    }

    /// Shows `f` this thread's value, made if need be; `None` when a thread that ends is too far gone for one.
    pub(crate) fn with_or_make<R>(
        &self,
        make: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        // The number of the thread is given back by a destructor of the thread's, after which asking for one panics.
        caught(|| f(self.0.get_or(make))).map_err(bury).ok()
    }
}

/// The same for the threads of the model checker, which share one of the system's.
#[cfg(nexios_shuttle)]
pub(crate) struct PerThread<T: Send>(std::sync::Mutex<std::collections::HashMap<usize, T>>);

#[cfg(nexios_shuttle)]
impl<T: Send> PerThread<T> {
    pub(crate) fn new() -> Self {
        Self(std::sync::Mutex::default())
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.lock().expect("no panic").get(&Self::thread()).map(f)
    }

    pub(crate) fn with_or_make<R>(
        &self,
        make: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let mut values = self.0.lock().expect("no panic");
        Some(f(values.entry(Self::thread()).or_insert_with(make)))
    }

    fn thread() -> usize {
        usize::from(shuttle::thread::current().id())
    }
}
