//! Request bodies that cannot be read to their end.

use std::{error::Error, io};

use http_body_util::LengthLimitError;

/// Whether a body ended early because its sender has gone, and was not merely malformed.
///
/// hyper tells both by the error of the body. HTTP/1 has an `io::Error` in it, HTTP/2 only ends a stream that was reset.
pub(crate) fn is_gone(error: &(dyn Error + 'static)) -> bool {
    let from_hyper = causes(error).any(|cause| cause.is::<hyper::Error>());
    let kind = causes(error).find_map(|cause| cause.downcast_ref().map(io::Error::kind));
    from_hyper
        && !matches!(
            kind,
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other)
        )
}

/// Whether a body is over a limit, however many bodies are around the one that has it.
pub(crate) fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<LengthLimitError>())
}

/// Whether an error comes from the way of the body to us, and from nothing of our own.
pub(crate) fn is_from_outside(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<hyper::Error>() || cause.is::<io::Error>())
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}
