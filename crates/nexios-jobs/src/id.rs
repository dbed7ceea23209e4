use std::{error::Error, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The number of a job: opaque, later ones greater, and never used twice in one store, not even one whose transaction was
/// rolled back.
///
/// As text and in serde it is what `Display` writes and `FromStr` reads: JSON has no whole numbers of this size.
///
/// # Examples
///
/// ```
/// use nexios_jobs::JobId;
///
/// # fn main() -> Result<(), nexios_jobs::JobIdError> {
/// let id: JobId = "4711".parse()?;
/// assert_eq!(id.to_string(), "4711");
/// assert!("seven".parse::<JobId>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        // As `Display` writes it: without a sign, and with one text for each number.
        let written = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        match text.parse() {
            Ok(number) if written => Ok(Self(number)),
            _ => Err(JobIdError(())),
        }
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A text is not the number of a job.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobId, JobIdError};
///
/// let parsed: Result<JobId, JobIdError> = "007".parse();
/// assert_eq!(parsed.unwrap_err().to_string(), "not the number of a job");
/// ```
#[derive(Debug, Clone)]
pub struct JobIdError(());

impl fmt::Display for JobIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the number of a job")
    }
}

impl Error for JobIdError {}
