//! Background tasks and schedules.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use nexios::observe::{WorkId, WorkKind};

use super::{earlier::Earlier, eta::eta};
use crate::{
    model::{Answer, Background, BackgroundTask, JobList, Schedule, Sensitive, milliseconds},
    store::{Store, live::Live, moment::Moment, recent::Finished},
};

impl Store {
    /// With these jobs, which others keep.
    pub(crate) fn background(&self, jobs: JobList) -> Answer<Background> {
        let rev = self.rev();
        let now = self.clock.now();
        let mut live = self
            .lives
            .copies(|_, live| live.kind == WorkKind::Background);
        // After the live ones, as that is the way they go: who goes meanwhile is in both, and has ended.
        let recent = self.recent.all();
        let mut seen: HashSet<WorkId> = recent.iter().map(|task| task.id).collect();
        live.retain(|(id, _)| seen.insert(*id));
        live.sort_unstable_by_key(|(id, live)| (live.made, *id));
        let schedules = live.iter().filter_map(|(_, live)| {
            Some(Schedule {
                name: live.name.to_string(),
                next_unix_ms: Some(live.next_run_unix_ms?),
            })
        });
        let earlier = self.earlier(now).into_iter();
        let (earlier, ended_earlier): (Vec<_>, Vec<_>) = earlier
            .filter(|earlier| seen.insert(earlier.id()))
            .partition(Earlier::lives);
        let (mut tasks, mut all_schedules) = (Vec::new(), Vec::new());
        for earlier in earlier {
            tasks.push(earlier.task);
            all_schedules.extend(earlier.schedule);
        }
        all_schedules.extend(schedules);
        let told = live.iter().map(|(id, live)| BackgroundTask {
            work: self.work(*id, live, now),
            registry: live.owner.as_ref().map(ToString::to_string),
            eta_ms: live
                .progress
                .and_then(|progress| eta(progress, elapsed(live, now)))
                .map(milliseconds),
            ended_unix_ms: None,
            elapsed_ms: milliseconds(elapsed(live, now)),
        });
        tasks.extend(told);
        let mut ended: Vec<_> = recent
            .iter()
            .map(|task| self.finished(task))
            .chain(ended_earlier.into_iter().map(|earlier| earlier.task))
            .collect();
        ended.sort_by_key(|task| Reverse(task.ended_unix_ms));
        tasks.extend(ended);
        let background = Background {
            tasks,
            schedules: all_schedules,
            jobs,
        };
        Answer::new(rev, background)
    }

    fn finished(&self, task: &Finished) -> BackgroundTask {
        let mut work = self.work(task.id, &task.live, task.ended);
        work.state = task.end.state;
        work.reason = task.end.reason;
        work.error = task.end.error.as_deref().map(Sensitive::new);
        work.waiting_for = None;
        work.can_cancel = false;
        BackgroundTask {
            work,
            registry: task.live.owner.as_ref().map(ToString::to_string),
            eta_ms: None,
            ended_unix_ms: Some(self.clock.unix_ms(task.ended)),
            elapsed_ms: milliseconds(elapsed(&task.live, task.ended)),
        }
    }
}

fn elapsed(live: &Live, until: Moment) -> Duration {
    live.started
        .map_or(Duration::ZERO, |started| until.since(started))
}
