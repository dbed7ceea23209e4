//! Panics of code that is not ours: caught, named, and dropped where they can hurt nobody.
//!
//! What a panic carries is a value of the user's, so its destructor may panic as well, and so may that one's.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Calls `f`; its panic is the error. Whoever calls this does not look again at what `f` left half done.
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// The text of a panic.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

/// Drops what a panic carries.
pub(crate) fn bury(payload: Payload) {
    if let Err(again) = caught(|| drop(payload)) {
        // Its destructor has shown that it panics; leaking what it panicked with is the only end.
        mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            std::panic::panic_any(PanicsInDrop);
        }
    }

    #[test]
    fn a_payload_whose_destructor_panics_is_buried_all_the_same() {
        let payload = caught(|| std::panic::panic_any(PanicsInDrop)).unwrap_err();
        assert_eq!(text_of(&*payload), "a panic without text");
        bury(payload);
    }

    #[test]
    fn the_text_of_a_panic_is_its_own_whether_it_is_formatted_or_not() {
        for (panic, text) in [
            (caught(|| panic!("plain")), "plain"),
            (caught(|| panic!("{}", 7)), "7"),
        ] {
            assert_eq!(text_of(&*panic.unwrap_err()), text);
        }
    }
}
