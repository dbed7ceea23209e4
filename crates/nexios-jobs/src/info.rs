use std::time::SystemTime;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, value::StringDeserializer},
};

use crate::{attempt_end::AttemptEnd, clock::to_millis, id::JobId, state::JobState};

/// One job at the moment it was looked at. Times are the database's; as JSON they are whole milliseconds since 1970 under names
/// that say so, such as `created_unix_ms`.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobState, Jobs, Kind};
///
/// const RESIZE: Kind<String, u64> = Kind::new("resize picture");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios_jobs::JobsError> {
/// let jobs = Jobs::memory();
/// let job = jobs.enqueue(RESIZE, &"cat.png".to_owned()).await?;
/// let info = jobs.get(job.id()).await?;
/// assert!(info.is_some_and(|info| info.state == JobState::Ready && info.attempt == 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its number.
    pub id: JobId,
    /// The name of its kind.
    pub kind: String,
    /// How far it is.
    pub state: JobState,
    /// The key it was enqueued with, also after its end.
    pub key: Option<String>,
    /// The smallest runs first.
    pub priority: i16,
    /// When it was enqueued.
    #[serde(rename = "created_unix_ms", serialize_with = "unix_ms")]
    pub created: SystemTime,
    /// When it may start, or start again.
    #[serde(rename = "run_at_unix_ms", serialize_with = "unix_ms")]
    pub run_at: SystemTime,
    /// When it ended.
    #[serde(rename = "ended_unix_ms", serialize_with = "some_unix_ms")]
    pub ended: Option<SystemTime>,
    /// How many attempts are counted: snoozes and those that a drain handed back are not.
    pub attempt: u32,
    /// The newest 20 that were begun, oldest first.
    pub attempts: Vec<JobAttempt>,
    /// So much is done, in units of its own.
    pub done: u64,
    /// Of so much.
    pub total: u64,
    /// The last line it said about itself.
    pub message: Option<String>,
    /// The output as JSON.
    pub result: Option<serde_json::Value>,
    /// The text of its last error, at most 4 KiB: also of a job that has completed since. Whether it failed is its `state`; what
    /// is wrong with it now is [`failure`](Self::failure).
    pub error: Option<String>,
}

impl JobInfo {
    /// Why it has not come to its output: its last [`error`](Self::error), unless an attempt after that went well, or somebody has
    /// ended the job.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const FETCH: Kind<()> = Kind::new("fetch");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let fetch = |(), job: JobContext| async move {
    ///     if job.attempt() == 1 { Err("the server is away") } else { Ok(()) }
    /// };
    /// jobs.workers().handle(FETCH, Policy::new(), fetch).start().await?;
    /// let job = jobs.enqueue(FETCH, &()).await?;
    /// job.wait().await?;
    /// let info = job.status().await?.expect("it is kept");
    /// assert_eq!(info.error.as_deref(), Some("the server is away"));
    /// assert_eq!(info.failure(), None); // it has completed since
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        let says_nothing = matches!(self.state, JobState::Completed | JobState::Cancelled);
        self.error.as_deref().filter(|_| !says_nothing)
    }
}

/// One attempt at a job.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{AttemptEnd, JobContext, Jobs, Kind, Policy};
///
/// const FETCH: Kind<()> = Kind::new("fetch");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let fetch = |(), job: JobContext| async move {
///     if job.attempt() == 1 { Err("the server is away") } else { Ok(()) }
/// };
/// jobs.workers().handle(FETCH, Policy::new(), fetch).start().await?;
/// let job = jobs.enqueue(FETCH, &()).await?;
/// job.wait().await?;
/// let attempts = job.status().await?.expect("it is kept").attempts;
/// assert_eq!(attempts[0].end, Some(AttemptEnd::Failed));
/// assert_eq!(attempts[0].error.as_deref(), Some("the server is away"));
/// assert_eq!((attempts[1].number, attempts[1].end), (2, Some(AttemptEnd::Completed)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobAttempt {
    /// From 1; those that did not count have the number of the one after them.
    pub number: u32,
    /// When it was begun.
    #[serde(rename = "started_unix_ms", serialize_with = "unix_ms")]
    pub started: SystemTime,
    /// When it ended, or when it was found that its worker was lost.
    #[serde(rename = "ended_unix_ms", serialize_with = "some_unix_ms")]
    pub ended: Option<SystemTime>,
    /// The machine of its worker.
    pub host: String,
    /// The process of its worker.
    pub pid: u32,
    /// What became of it; `None` of one that goes on, or that ended in a way which only a newer version of this crate knows.
    pub end: Option<AttemptEnd>,
    /// Why it failed or was lost.
    pub error: Option<String>,
}

/// One page of a list of jobs, newest first.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Filter, Jobs};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios_jobs::JobsError> {
/// let page = Jobs::memory().list(Filter::new().limit(10)).await?;
/// assert!(page.jobs.is_empty() && page.next.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobInfo>,
    /// Where the next page begins, for [`Filter::before`](crate::Filter::before); `None` on the last.
    pub next: Option<JobId>,
}

fn unix_ms<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    to_millis(*time).serialize(serializer)
}

fn some_unix_ms<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(to_millis).serialize(serializer)
}

/// An attempt as it is kept: times in milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AttemptRecord {
    #[serde(rename = "n")]
    pub(crate) number: u32,
    pub(crate) started: i64,
    #[serde(default)]
    pub(crate) ended: Option<i64>,
    #[serde(default, deserialize_with = "known")]
    pub(crate) end: Option<AttemptEnd>,
    pub(crate) host: String,
    pub(crate) pid: u32,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// Nothing for a word of a newer version, which may share the store: the rest of the history is to be read.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AttemptEnd>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(word.and_then(|word| {
        let word: StringDeserializer<de::value::Error> = word.into_deserializer();
        AttemptEnd::deserialize(word).ok()
    }))
}

impl From<AttemptRecord> for JobAttempt {
    fn from(record: AttemptRecord) -> Self {
        Self {
            number: record.number,
            started: crate::clock::from_millis(record.started),
            ended: record.ended.map(crate::clock::from_millis),
            host: record.host,
            pid: record.pid,
            end: record.end,
            error: record.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Jobs, Kind};

    const NOTE: Kind<u32> = Kind::new("note");

    #[tokio::test]
    async fn a_failure_is_that_of_a_job_which_has_neither_completed_nor_been_cancelled() {
        let job = Jobs::memory().enqueue(NOTE, &7).await.unwrap();
        let mut info = job.status().await.unwrap().unwrap();
        assert_eq!(info.failure(), None, "there is none");
        info.error = Some("busy".to_owned());
        for (state, tells) in [
            (JobState::Scheduled, true),
            (JobState::Ready, true),
            (JobState::Running, true),
            (JobState::Retrying, true),
            (JobState::Completed, false),
            (JobState::Failed, true),
            (JobState::Cancelled, false),
            (JobState::Dead, true),
        ] {
            info.state = state;
            assert_eq!(info.failure(), tells.then_some("busy"), "{state}");
        }
    }

    #[test]
    fn a_word_of_a_newer_version_leaves_the_rest_of_the_history_readable() {
        let attempt = |number, end| json!({ "fence": number, "n": number, "started": 1, "ended": 2, "end": end, "host": "here", "pid": 7 });
        let history = json!([
            attempt(1, Some("failed")),
            attempt(2, Some("handed_back")),
            attempt(2, Some("eaten by a bear")),
            attempt(3, None),
        ]);
        let history: Vec<AttemptRecord> = serde_json::from_value(history).unwrap();
        let read: Vec<_> = history.iter().map(|attempt| attempt.end).collect();
        let known = [Some(AttemptEnd::Failed), Some(AttemptEnd::HandedBack)];
        assert_eq!(read, [known[0], known[1], None, None]);
    }

    #[tokio::test]
    async fn times_are_milliseconds_since_1970_in_json() {
        let jobs = Jobs::memory();
        let later = crate::clock::from_millis(4_000_000_000_123);
        let job = jobs.task(NOTE).run_at(later).enqueue(&7).await.unwrap();
        let info = job.status().await.unwrap().unwrap();
        let created = to_millis(info.created);
        let written = serde_json::to_value(&info).unwrap();
        assert_eq!(written["created_unix_ms"], json!(created));
        assert_eq!(written["run_at_unix_ms"], json!(4_000_000_000_123_i64));
        assert_eq!(written["ended_unix_ms"], json!(null));
        let attempt = JobAttempt {
            number: 1,
            started: crate::clock::from_millis(1_000),
            ended: Some(crate::clock::from_millis(2_500)),
            host: "here".to_owned(),
            pid: 7,
            end: Some(AttemptEnd::HandedBack),
            error: None,
        };
        assert_eq!(
            serde_json::to_value(attempt).unwrap(),
            json!({
                "number": 1, "started_unix_ms": 1_000, "ended_unix_ms": 2_500, "host": "here", "pid": 7,
                "end": "handed_back", "error": null,
            })
        );
    }
}
