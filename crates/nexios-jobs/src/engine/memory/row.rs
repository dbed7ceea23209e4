//! One job of the memory engine, and what each step makes of it. Times are milliseconds since 1970.

use std::borrow::Cow;

use crate::{
    attempt_end::AttemptEnd,
    clock::from_millis,
    engine::{ClaimedJob, End, Ended, HISTORY, KEEP, NewJob, Run, Wanted, Worker, WorkerId},
    id::JobId,
    info::{AttemptRecord, JobInfo},
    progress::JobProgress,
    state::JobState,
};

#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: JobId,
    pub(super) kind: Cow<'static, str>,
    pub(super) key: Option<String>,
    pub(super) priority: i16,
    pub(super) run_at: i64,
    pub(super) place: Place,
    /// The number of its starts.
    fence: i64,
    args: String,
    origin: Option<String>,
    created: i64,
    /// How long it stays when it has ended.
    keep: i64,
    attempt: u32,
    history: Vec<AttemptRecord>,
    progress: JobProgress,
    result: Option<String>,
    error: Option<String>,
    /// Its cancel was asked for.
    pub(super) cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Running(WorkerId),
    Ended { state: JobState, at: i64 },
}

impl Row {
    pub(super) fn new(id: JobId, job: NewJob, run_at: i64, now: i64) -> Self {
        Self {
            id,
            kind: job.kind,
            key: job.key,
            priority: job.priority,
            run_at,
            place: Place::Waiting,
            fence: 0,
            args: job.args,
            origin: job.origin,
            created: now,
            keep: crate::clock::millis(KEEP),
            attempt: 0,
            history: Vec::new(),
            progress: JobProgress::default(),
            result: None,
            error: None,
            cancelled: false,
        }
    }

    pub(super) fn state(&self, now: i64) -> JobState {
        match self.place {
            Place::Waiting if self.attempt > 0 => JobState::Retrying,
            Place::Waiting if self.run_at > now => JobState::Scheduled,
            Place::Waiting => JobState::Ready,
            Place::Running(_) => JobState::Running,
            Place::Ended { state, .. } => state,
        }
    }

    /// When it may be deleted, if it has ended.
    pub(super) fn kept_until(&self) -> Option<i64> {
        match self.place {
            Place::Ended { at, .. } => Some(at.saturating_add(self.keep)),
            _ => None,
        }
    }

    pub(super) fn run(&self) -> Run {
        Run {
            id: self.id,
            fence: self.fence,
        }
    }

    /// Whether it is still in this run.
    pub(super) fn is_in(&self, run: Run) -> bool {
        matches!(self.place, Place::Running(_)) && self.fence == run.fence
    }

    pub(super) fn start(&mut self, worker: &Worker, wanted: &Wanted, now: i64) -> ClaimedJob {
        self.place = Place::Running(worker.id);
        self.fence += 1;
        self.attempt += 1;
        self.keep = crate::clock::millis(wanted.keep);
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(AttemptRecord {
            number: self.attempt,
            started: now,
            ended: None,
            end: None,
            host: worker.host.clone(),
            pid: worker.pid,
            error: None,
        });
        ClaimedJob {
            run: self.run(),
            kind: self.kind.to_string(),
            attempt: self.attempt,
            args: self.args.clone(),
            origin: self.origin.clone(),
            last: self.progress.clone().if_any(),
        }
    }

    pub(super) fn note(&mut self, progress: &JobProgress) {
        self.progress = progress.clone();
    }

    pub(super) fn finish(&mut self, ended: Ended, now: i64) {
        if let Some(progress) = &ended.progress {
            self.note(progress);
        }
        let end = match ended.end {
            End::Completed(_) => ended.end,
            _ if self.cancelled => End::Cancelled,
            end => end,
        };
        let word = end.of_attempt();
        let (state, error) = match end {
            End::Completed(result) => {
                self.result = Some(result);
                (JobState::Completed, None)
            }
            End::Failed(error) => (JobState::Failed, Some(error)),
            End::Dead(error) => (JobState::Dead, Some(error)),
            End::Cancelled => (JobState::Cancelled, None),
            End::Again { after, cause } => {
                self.run_at = now.saturating_add(crate::clock::millis(after));
                self.wait_again(word, cause.into_error(), now);
                return;
            }
            End::HandedBack => {
                self.wait_again(word, None, now);
                return;
            }
        };
        self.end(state, now);
        self.end_attempt(word, error, now);
    }

    fn wait_again(&mut self, word: AttemptEnd, error: Option<String>, now: i64) {
        self.attempt -= u32::from(!word.counts());
        self.place = Place::Waiting;
        self.end_attempt(word, error, now);
    }

    fn end_attempt(&mut self, word: AttemptEnd, error: Option<String>, now: i64) {
        if let Some(attempt) = self.history.last_mut() {
            attempt.ended = Some(now);
            attempt.end = Some(word);
            attempt.error.clone_from(&error);
        }
        if error.is_some() {
            self.error = error;
        }
    }

    pub(super) fn end(&mut self, state: JobState, now: i64) {
        self.place = Place::Ended { state, at: now };
    }

    /// Waits anew, with all its attempts if it had ended.
    pub(super) fn revive(&mut self, now: i64) {
        if self.place != Place::Waiting {
            self.attempt = 0;
        }
        self.run_at = now;
        self.cancelled = false;
        self.place = Place::Waiting;
    }

    pub(super) fn info(&self, now: i64) -> JobInfo {
        JobInfo {
            id: self.id,
            kind: self.kind.to_string(),
            state: self.state(now),
            key: self.key.clone(),
            priority: self.priority,
            created: from_millis(self.created),
            run_at: from_millis(self.run_at),
            ended: match self.place {
                Place::Ended { at, .. } => Some(from_millis(at)),
                _ => None,
            },
            attempt: self.attempt,
            attempts: self.history.iter().cloned().map(Into::into).collect(),
            done: self.progress.done,
            total: self.progress.total,
            message: self.progress.message.clone(),
            result: self
                .result
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            error: self.error.clone(),
        }
    }
}
