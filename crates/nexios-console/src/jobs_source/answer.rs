//! What a store says to a question, as it is shown.

use std::time::{SystemTime, UNIX_EPOCH};

use nexios_jobs::{AttemptEnd, Filter, JobAttempt, JobId, JobInfo, JobState, Jobs, JobsError};

use crate::{
    model::{self, Job, JobList, LeftOut, Progress, Sensitive},
    query::JobsQuery,
};

/// Jobs on one page.
pub(super) const PAGE: usize = 100;
/// Attempts of a job: its newest.
const ATTEMPTS: usize = 10;
/// Characters of a name or a key.
const NAME: usize = 120;
/// Characters of an error, a message and a result; as many of them are shown as there are attempts.
const TEXT: usize = 200;

/// Jobs that stand together.
struct Group {
    name: &'static str,
    states: &'static [JobState],
}

/// In the order of the page.
const GROUPS: [Group; 3] = [
    Group {
        name: "running",
        states: &[JobState::Running],
    },
    Group {
        name: "waiting",
        states: &[JobState::Retrying, JobState::Ready, JobState::Scheduled],
    },
    Group {
        name: "ended",
        states: &[
            JobState::Completed,
            JobState::Failed,
            JobState::Cancelled,
            JobState::Dead,
        ],
    },
];

pub(super) async fn of(jobs: &Jobs, query: &JobsQuery) -> Result<JobList, JobsError> {
    let mut list = JobList {
        is_known: true,
        ..JobList::default()
    };
    for (name, states) in asked_for(&query.state) {
        let room = PAGE - list.jobs.len();
        if room == 0 {
            list.left_out.push(LeftOut {
                state: name.to_owned(),
                before: Some(query.before.clone()).filter(|before| !before.is_empty()),
            });
            continue;
        }
        let page = jobs.list(filter(query, &states).limit(room)).await?;
        list.jobs.extend(page.jobs.into_iter().map(job));
        list.left_out.extend(page.next.map(|next| LeftOut {
            state: name.to_owned(),
            before: Some(next.to_string()),
        }));
    }
    Ok(list)
}

/// The groups, one of them, or a single state.
fn asked_for(word: &str) -> Vec<(&str, Vec<JobState>)> {
    if word.is_empty() {
        let groups = GROUPS.iter();
        return groups
            .map(|group| (group.name, group.states.to_vec()))
            .collect();
    }
    let group = GROUPS.iter().find(|group| group.name == word);
    let all = GROUPS.iter().flat_map(|group| group.states);
    let states = match group {
        Some(group) => group.states.to_vec(),
        None => all
            .filter(|state| state.as_str() == word)
            .copied()
            .collect(),
    };
    // Of none, a store would list all.
    if states.is_empty() {
        return Vec::new();
    }
    vec![(word, states)]
}

fn filter(query: &JobsQuery, states: &[JobState]) -> Filter {
    let filter = states.iter().copied().fold(Filter::new(), Filter::state);
    let filter = match query.kind.trim() {
        "" => filter,
        kind => filter.kind(kind.to_owned()),
    };
    match query.before.parse::<JobId>() {
        Ok(before) => filter.before(before),
        Err(_) => filter,
    }
}

fn job(info: JobInfo) -> Job {
    let skipped = info.attempts.len().saturating_sub(ATTEMPTS);
    let attempts = info.attempts.into_iter().skip(skipped);
    let has_said = info.total > 0 || info.done > 0;
    let progress = (has_said || info.message.is_some()).then(|| Progress {
        done: has_said.then_some(info.done),
        total: (info.total > 0).then_some(info.total),
        message: info.message.as_deref().map(text),
    });
    Job {
        id: info.id.to_string(),
        kind: shortened(&info.kind, NAME),
        state: info.state.as_str(),
        key: info.key.map(|key| Sensitive::new(shortened(&key, NAME))),
        priority: info.priority,
        created_unix_ms: unix_ms(info.created),
        run_at_unix_ms: unix_ms(info.run_at),
        ended_unix_ms: info.ended.map(unix_ms),
        attempt: info.attempt,
        attempts: attempts.map(attempt).collect(),
        progress,
        result: info
            .result
            .filter(|result| !result.is_null())
            .map(|result| text(&result.to_string())),
        error: info.error.as_deref().map(text),
    }
}

fn attempt(attempt: JobAttempt) -> model::JobAttempt {
    model::JobAttempt {
        number: attempt.number,
        started_unix_ms: unix_ms(attempt.started),
        ended_unix_ms: attempt.ended.map(unix_ms),
        host: shortened(&attempt.host, NAME),
        pid: attempt.pid,
        end: attempt.end.map(AttemptEnd::as_str),
        error: attempt.error.as_deref().map(text),
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A text of somebody's, as long as there is room for.
pub(super) fn text(text: &str) -> Sensitive {
    Sensitive::new(shortened(text, TEXT))
}

/// So many characters at most, with an ellipsis where something is missing.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
