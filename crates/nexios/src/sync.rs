//! Locks, atomics and thread-locals of the hand-made state machines: the standard library's, or those of the
//! model checker in a build with `--cfg nexios_shuttle`.

#[cfg(not(nexios_shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

#[cfg(nexios_shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread, thread_local,
};
