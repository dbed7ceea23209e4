//! Arguments and outputs as JSON, of a bounded length.

use std::io;

use serde::Serialize;

use crate::error::JobsError;

/// The largest payload in bytes.
pub(crate) const LIMIT: usize = 1 << 20;

/// Why a value is no payload.
pub(crate) enum PayloadFault {
    NotJson(serde_json::Error),
    TooLarge { bytes: usize },
}

/// Writes a value; one that is too large is counted to its end, but not kept.
pub(crate) fn write(value: &impl Serialize) -> Result<String, PayloadFault> {
    let mut bounded = Bounded::default();
    serde_json::to_writer(&mut bounded, value).map_err(PayloadFault::NotJson)?;
    if bounded.length > LIMIT {
        return Err(PayloadFault::TooLarge {
            bytes: bounded.length,
        });
    }
    // serde_json writes UTF-8.
    Ok(String::from_utf8_lossy(&bounded.text).into_owned())
}

/// Arguments as JSON.
pub(crate) fn write_arguments(args: &impl Serialize) -> Result<String, JobsError> {
    write(args).map_err(|fault| match fault {
        PayloadFault::NotJson(error) => JobsError::Arguments {
            reason: error.to_string(),
        },
        PayloadFault::TooLarge { bytes } => JobsError::PayloadTooLarge {
            bytes,
            limit: LIMIT,
        },
    })
}

#[derive(Default)]
struct Bounded {
    text: Vec<u8>,
    length: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length = self.length.saturating_add(bytes.len());
        if self.length <= LIMIT {
            self.text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_one_mib_is_taken_and_one_byte_more_is_not() {
        let largest = "x".repeat(LIMIT - 2);
        assert!(write(&largest).is_ok_and(|text| text.len() == LIMIT));
        let larger = "x".repeat(LIMIT - 1);
        assert!(
            matches!(write(&larger), Err(PayloadFault::TooLarge { bytes }) if bytes == LIMIT + 1)
        );
    }
}
