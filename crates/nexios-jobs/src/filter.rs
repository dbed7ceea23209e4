use std::borrow::Cow;

use crate::{id::JobId, nul::without_nul, state::JobState};

/// Which jobs to list. Default: all, 100 a page.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Filter, JobState, Jobs, Kind};
///
/// const SEND: Kind<String> = Kind::new("send newsletter");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
/// jobs.enqueue(SEND, &"bob@example.org".to_owned()).await?.cancel().await?;
///
/// let stopped = Filter::new().kind(SEND).state(JobState::Cancelled).limit(50);
/// assert_eq!(jobs.list(stopped).await?.jobs.len(), 1);
/// assert_eq!(jobs.list(Filter::new()).await?.jobs.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Filter {
    pub(crate) kind: Option<Cow<'static, str>>,
    /// Any of them; of none, all.
    pub(crate) states: Vec<JobState>,
    pub(crate) key: Option<String>,
    limit: Option<usize>,
    pub(crate) before: Option<JobId>,
}

impl Filter {
    /// All jobs.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// assert_eq!(jobs.list(Filter::new()).await?.jobs.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Only jobs of this kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    /// const PRINT: Kind<String> = Kind::new("print");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// assert_eq!(jobs.list(Filter::new().kind(SEND)).await?.jobs.len(), 1);
    /// assert!(jobs.list(Filter::new().kind(PRINT)).await?.jobs.is_empty());
    /// let of_a_url = "send".to_owned(); // a name does as well
    /// assert_eq!(jobs.list(Filter::new().kind(of_a_url)).await?.jobs.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(without_nul(&kind.into()).into());
        self
    }

    /// Only jobs in this state; of several calls, in any of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, JobState, Jobs, Kind};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// let went_wrong = Filter::new().state(JobState::Dead).state(JobState::Failed);
    /// assert!(jobs.list(went_wrong).await?.jobs.is_empty());
    /// assert_eq!(jobs.list(Filter::new().state(JobState::Ready)).await?.jobs.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(mut self, state: JobState) -> Self {
        if !self.states.contains(&state) {
            self.states.push(state);
        }
        self
    }

    /// Only jobs that were enqueued with this key, also those that have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.task(REPORT).unique("2026-11").enqueue(&11).await?.cancel().await?;
    /// let again = jobs.task(REPORT).unique("2026-11").enqueue(&11).await?;
    /// let all = jobs.list(Filter::new().kind(REPORT).key("2026-11")).await?.jobs;
    /// assert_eq!(all.len(), 2);
    /// assert_eq!(all[0].id, again.id()); // the newest first
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(without_nul(&key.into()));
        self
    }

    /// At most so many a page, 1 to 1,000. Default: 100.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue_many(REPORT, &[1, 2, 3]).await?;
    /// let page = jobs.list(Filter::new().limit(2)).await?;
    /// assert_eq!(page.jobs.len(), 2);
    /// assert!(page.next.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is zero or over 1,000.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            (1..=1000).contains(&limit),
            "limit({limit}): a page has 1 to 1,000 jobs"
        );
        self.limit = Some(limit);
        self
    }

    /// Only jobs that were enqueued before this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue_many(REPORT, &[1, 2, 3]).await?;
    /// let (mut filter, mut seen) = (Filter::new().limit(2), 0);
    /// loop {
    ///     let page = jobs.list(filter.clone()).await?;
    ///     seen += page.jobs.len();
    ///     match page.next {
    ///         Some(next) => filter = filter.before(next),
    ///         None => break,
    ///     }
    /// }
    /// assert_eq!(seen, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn before(mut self, id: JobId) -> Self {
        self.before = Some(id);
        self
    }

    pub(crate) fn page(&self) -> usize {
        self.limit.unwrap_or(100)
    }
}
