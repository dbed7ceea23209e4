//! The jobs of every machine, as the store of jobs tells of them.
//!
//! # Invariants
//!
//! 1. The store is asked only when somebody looks, the same question at most once a second and a tenth of the time, and one
//!    question at a time.
//! 2. Whoever looks waits no longer than [`PATIENCE`]. What was heard last is shown, with since when the store is silent.
//! 3. No lock is held while the store is asked, or while a page is made of what it said.
//! 4. So many questions are remembered, and what is kept of each answer is bounded.

mod answer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nexios_jobs::{JobId, Jobs, JobsError};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    model::{Away, JobAnswer, JobList, Sensitive},
    query::JobsQuery,
};

/// Between an answer and the same question.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest that this grows where answers take their time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an action may take before nobody waits for what came of it.
const LONGEST_ACTION: Duration = Duration::from_secs(10);
/// Questions that are remembered.
const MOST_QUESTIONS: usize = 16;

/// Where the jobs of the page come from; from nowhere, until there is a store.
#[derive(Default)]
pub(crate) struct JobsSource {
    shared: Mutex<Shared>,
    /// Whoever has it asks.
    turn: tokio::sync::Mutex<()>,
    /// Counts what came of questions.
    heard: watch::Sender<u64>,
}

#[derive(Default)]
struct Shared {
    jobs: Option<Jobs>,
    questions: HashMap<JobsQuery, Question>,
    silence: Option<Silence>,
}

struct Question {
    /// Since when it is being asked.
    asking: Option<Asked>,
    /// When it was last answered, or not.
    over: Option<Instant>,
    /// How long that is good enough.
    pause: Duration,
    answer: Option<Arc<JobList>>,
    used: Instant,
}

#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    unix_ms: u64,
}

/// The store has not answered the last question.
struct Silence {
    since_unix_ms: u64,
    error: Sensitive,
    /// When that was found last.
    found: Instant,
}

impl Asked {
    fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            at: Instant::now(),
            unix_ms: now.map_or(0, |now| now.as_millis() as u64),
        }
    }
}

impl JobsSource {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics under it but for want of memory.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are shown.
    pub(crate) fn show(&self, jobs: Jobs) {
        let shared = Shared {
            jobs: Some(jobs),
            ..Shared::default()
        };
        let old = std::mem::replace(&mut *self.lock(), shared);
        // A store may end with its last user, and that is no matter of the lock.
        drop(old);
        self.tell();
    }

    /// Grows with what is heard.
    pub(crate) fn rev(&self) -> u64 {
        *self.heard.borrow()
    }

    fn tell(&self) {
        self.heard.send_modify(|heard| *heard += 1);
    }

    /// What is known, and since when no more.
    pub(crate) fn known(&self, query: &JobsQuery) -> JobList {
        let shared = self.lock();
        if shared.jobs.is_none() {
            return JobList::default();
        }
        let question = shared.questions.get(query);
        let overdue = question
            .and_then(|question| question.asking)
            .filter(|asked| asked.at.elapsed() >= PATIENCE);
        let away = match (&shared.silence, overdue) {
            (Some(silence), _) => Some(Away {
                since_unix_ms: silence.since_unix_ms,
                error: Some(silence.error.clone()),
            }),
            (None, Some(asked)) => Some(Away {
                since_unix_ms: asked.unix_ms,
                error: None,
            }),
            (None, None) => None,
        };
        let answer = question.and_then(|question| question.answer.clone());
        drop(shared);
        JobList {
            has_store: true,
            away,
            ..answer.map_or_else(JobList::default, |answer| (*answer).clone())
        }
    }

    /// Asks, unless that is under way or was a moment ago, and waits for what comes of it, as far as there is patience.
    pub(crate) async fn look(self: &Arc<Self>, query: &JobsQuery) {
        let mut heard = self.heard.subscribe();
        self.ask(query);
        loop {
            let asked = self
                .lock()
                .questions
                .get(query)
                .and_then(|question| question.asking);
            let Some(asked) = asked else {
                return;
            };
            if timeout_at(asked.at + PATIENCE, heard.changed())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Asks, unless that is under way or was a moment ago; nobody waits for the answer.
    pub(crate) fn ask(self: &Arc<Self>, query: &JobsQuery) {
        let now = Instant::now();
        let mut shared = self.lock();
        let Some(jobs) = shared.jobs.clone() else {
            return;
        };
        if !shared.questions.contains_key(query) && !shared.makes_room() {
            return;
        }
        let question = shared
            .questions
            .entry(query.clone())
            .or_insert_with(|| Question {
                asking: None,
                over: None,
                pause: AGAIN,
                answer: None,
                used: now,
            });
        question.used = now;
        let is_fresh = question
            .over
            .is_some_and(|over| now - over < question.pause);
        if question.asking.is_some() || is_fresh {
            return;
        }
        let asked = Asked::now();
        question.asking = Some(asked);
        drop(shared);
        let asking = Asking {
            source: self.clone(),
            query: query.clone(),
            asked,
        };
        tokio::spawn(async move { asking.until_heard(&jobs).await });
    }

    /// Cancels a job, wherever it runs.
    pub(crate) async fn cancel(&self, id: &str) -> JobAnswer {
        self.act(id, async |jobs, id| jobs.cancel(id).await).await
    }

    /// Runs a job again that has ended otherwise than well, and one that waits now.
    pub(crate) async fn retry(&self, id: &str) -> JobAnswer {
        self.act(id, async |jobs, id| jobs.retry(id).await).await
    }

    async fn act(
        &self,
        id: &str,
        act: impl AsyncFnOnce(&Jobs, JobId) -> Result<bool, JobsError>,
    ) -> JobAnswer {
        let jobs = self.lock().jobs.clone();
        let (Some(jobs), Ok(id)) = (jobs, id.parse()) else {
            return JobAnswer::Unknown;
        };
        let acted = async {
            Ok::<_, JobsError>(match act(&jobs, id).await? {
                true => JobAnswer::Done,
                false if jobs.get(id).await?.is_some() => JobAnswer::Ended,
                false => JobAnswer::Unknown,
            })
        };
        let acted = tokio::time::timeout(LONGEST_ACTION, acted).await;
        // Whoever acted looks next, and at what has become of it.
        for question in self.lock().questions.values_mut() {
            question.over = None;
        }
        match acted {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => JobAnswer::Away,
        }
    }
}

impl Shared {
    /// Forgets the question that nobody has asked for the longest time, if there are as many as may be; false if all of them
    /// are being asked.
    fn makes_room(&mut self) -> bool {
        if self.questions.len() < MOST_QUESTIONS {
            return true;
        }
        let idle = self
            .questions
            .iter()
            .filter(|(_, question)| question.asking.is_none());
        let oldest = idle
            .min_by_key(|(_, question)| question.used)
            .map(|(query, _)| query.clone());
        oldest.is_some_and(|oldest| self.questions.remove(&oldest).is_some())
    }
}

/// Nine times as long as the answer took: a store with many jobs has others to serve.
fn pause(took: Duration) -> Duration {
    took.saturating_mul(9).clamp(AGAIN, LONGEST_PAUSE)
}

/// A question that is being asked, until this is dropped: also by a runtime that ends.
struct Asking {
    source: Arc<JobsSource>,
    query: JobsQuery,
    asked: Asked,
}

impl Asking {
    async fn until_heard(self, jobs: &Jobs) {
        let _turn = self.source.turn.lock().await;
        let is_silent = self
            .source
            .lock()
            .silence
            .as_ref()
            .is_some_and(|silence| silence.found.elapsed() < AGAIN);
        // Those who waited for their turn meanwhile need not find it out again, each for as long.
        if !is_silent {
            let began = Instant::now();
            let heard = answer::of(jobs, &self.query).await;
            self.hear(heard, began.elapsed());
        }
    }

    fn mine<'a>(
        &self,
        questions: &'a mut HashMap<JobsQuery, Question>,
    ) -> Option<&'a mut Question> {
        let question = questions.get_mut(&self.query);
        question.filter(|question| {
            question
                .asking
                .is_some_and(|asked| asked.at == self.asked.at)
        })
    }

    fn hear(&self, heard: Result<JobList, JobsError>, took: Duration) {
        let mut shared = self.source.lock();
        let Shared {
            questions, silence, ..
        } = &mut *shared;
        // Forgotten with a store that is no longer shown.
        let Some(question) = self.mine(questions) else {
            return;
        };
        let mut old = None;
        match heard {
            Ok(list) => {
                *silence = None;
                question.pause = pause(took);
                old = question.answer.replace(Arc::new(list));
            }
            Err(error) => {
                question.pause = AGAIN;
                let since_unix_ms = silence
                    .as_ref()
                    .map_or(self.asked.unix_ms, |silence| silence.since_unix_ms);
                *silence = Some(Silence {
                    since_unix_ms,
                    error: answer::text(&error.to_string()),
                    found: Instant::now(),
                });
            }
        }
        drop(shared);
        drop(old);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(question) = self.mine(&mut self.source.lock().questions) {
            question.asking = None;
            question.over = Some(Instant::now());
        }
        self.source.tell();
    }
}

#[cfg(test)]
mod tests;
