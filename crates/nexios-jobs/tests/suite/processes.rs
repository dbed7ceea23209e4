//! Real processes, killed and stopped; the file of their lines is what is counted.

use std::{collections::BTreeMap, path::Path, time::Duration};

use nexios_jobs::{Filter, JobState, Jobs};
use tokio::time::{Instant, sleep};

use crate::{
    child::{ABORT, COUNT, MARK, Mark, Part, Play, Process, TICK, notes, set_clock},
    kit::{Kit, millis},
    on_every_shared_engine,
};

on_every_shared_engine!(
    a_killed_process_loses_no_job_and_repeats_only_what_it_ran,
    of_two_processes_the_other_goes_on_when_one_is_killed,
    a_live_job_is_not_run_twice_however_long_it_takes,
    a_stopped_process_that_comes_back_cannot_end_what_others_have,
    a_job_that_kills_its_process_is_dead_after_its_attempts,
    after_a_kill_a_job_goes_on_from_what_it_said_a_second_before_at_the_latest,
    eight_processes_that_race_for_a_key_make_one_job,
    each_tick_of_a_hundred_is_one_job_of_two_processes,
    a_lazy_value_that_is_a_unique_job_is_computed_once_by_two_processes,
);

/// Long enough for a machine that has a lot to do.
const LEASE: Duration = Duration::from_secs(2);

fn part(kit: &Kit, play: Play) -> Part {
    Part {
        url: kit.url(),
        folder: kit.folder().to_owned(),
        lease: LEASE,
        play,
    }
}

async fn open(kit: &Kit) -> Jobs {
    kit.open(Jobs::builder().lease(LEASE)).await
}

async fn until(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "waited for {what}");
        sleep(millis(20)).await;
    }
}

/// How often each number stands in the lines that begin with this word.
fn counts(folder: &Path, word: &str) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for number in notes(folder, word) {
        *counts.entry(number.parse().expect("a number")).or_default() += 1;
    }
    counts
}

async fn enqueue(jobs: &Jobs, count: u32, millis: u64, holds: bool) {
    let mark = |number| Mark {
        number,
        millis,
        holds,
    };
    let marks: Vec<_> = (0..count).map(mark).collect();
    jobs.enqueue_many(MARK, &marks).await.expect("jobs");
}

async fn kill_at_half(kit: Kit, processes: usize) {
    const JOBS: u32 = 2000;
    const CONCURRENCY: usize = 8;
    let jobs = open(&kit).await;
    enqueue(&jobs, JOBS, 2, false).await;
    let part = part(
        &kit,
        Play::Work {
            concurrency: CONCURRENCY,
        },
    );
    let mut all: Vec<_> = (0..processes).map(|_| Process::start(&part)).collect();
    let half = JOBS as usize / 2;
    let minute = Duration::from_secs(120);
    until(minute, "half of the jobs", || {
        notes(kit.folder(), "end").len() >= half
    })
    .await;
    all[0].kill();
    let killed = Instant::now();
    let process = all[0].id();
    let page = jobs.list(Filter::new().state(JobState::Running).limit(1000));
    let mut held = page.await.expect("a page").jobs;
    held.retain(|job| job.attempts.last().is_some_and(|run| run.pid == process));
    if processes == 1 {
        all.push(Process::start(&part));
    }
    let recovered = {
        let mut left: Vec<_> = held.iter().map(|job| job.id).collect();
        while let Some(id) = left.last() {
            let job = jobs.get(*id).await.expect("a look").expect("a job");
            if job.state == JobState::Completed {
                left.pop();
            } else {
                assert!(killed.elapsed() < minute, "{job:?}");
                sleep(millis(20)).await;
            }
        }
        killed.elapsed()
    };
    until(minute, "all jobs", || {
        counts(kit.folder(), "end").len() == JOBS as usize
    })
    .await;
    // Whatever ran at the kill was written last by others.
    let ended = async || {
        let running = Filter::new().state(JobState::Completed).limit(1000);
        let (mut count, mut before) = (0, None);
        loop {
            let page = before
                .iter()
                .fold(running.clone(), |filter, id| filter.before(*id));
            let page = jobs.list(page).await.expect("a page");
            count += page.jobs.len();
            before = page.next;
            if before.is_none() {
                return count;
            }
        }
    };
    let began = Instant::now();
    while ended().await < JOBS as usize {
        assert!(began.elapsed() < minute, "some are not completed");
        sleep(millis(200)).await;
    }
    let more_than_once = |word| {
        let counts = counts(kit.folder(), word).into_values();
        counts.filter(|count| *count > 1).collect::<Vec<usize>>()
    };
    let twice = more_than_once("start");
    let url = kit.url();
    println!(
        "killed at half: | {} | {processes} | {JOBS} | {} | {} | {} | {} | {:.1} s |",
        url.split(':').next().unwrap_or_default(),
        held.len(),
        twice.len(),
        more_than_once("end").len(),
        JOBS as usize - counts(kit.folder(), "end").len(),
        recovered.as_secs_f64(),
    );
    assert!(
        twice.len() <= CONCURRENCY,
        "{} were started twice",
        twice.len()
    );
    assert!(twice.iter().all(|starts| *starts == 2), "{twice:?}");
}

async fn a_killed_process_loses_no_job_and_repeats_only_what_it_ran(kit: Kit) {
    kill_at_half(kit, 1).await;
}

async fn of_two_processes_the_other_goes_on_when_one_is_killed(kit: Kit) {
    kill_at_half(kit, 2).await;
}

async fn a_live_job_is_not_run_twice_however_long_it_takes(kit: Kit) {
    let jobs = open(&kit).await;
    // Four hold the threads of their runtimes, which renew no lease then.
    let length = (LEASE * 3).as_millis() as u64;
    enqueue(&jobs, 8, length, true).await;
    let part = part(&kit, Play::Work { concurrency: 2 });
    let _both = [Process::start(&part), Process::start(&part)];
    let minute = Duration::from_secs(120);
    until(minute, "all jobs", || notes(kit.folder(), "end").len() >= 8).await;
    sleep(LEASE * 2).await;
    assert!(
        counts(kit.folder(), "start")
            .into_values()
            .all(|starts| starts == 1)
    );
    assert_eq!(notes(kit.folder(), "end").len(), 8);
}

async fn a_stopped_process_that_comes_back_cannot_end_what_others_have(kit: Kit) {
    let jobs = open(&kit).await;
    let part = part(&kit, Play::Work { concurrency: 2 });
    let stopped = Process::start(&part);
    until(Duration::from_secs(60), "the workers", || {
        !notes(kit.folder(), "ready").is_empty()
    })
    .await;
    let mark = Mark {
        number: 1,
        millis: 1500,
        holds: true,
    };
    let job = jobs.enqueue(MARK, &mark).await.expect("a job");
    until(Duration::from_secs(60), "the start", || {
        !notes(kit.folder(), "start").is_empty()
    })
    .await;
    stopped.signal("STOP");
    let _other = Process::start(&part);
    until(Duration::from_secs(60), "the other's start", || {
        notes(kit.folder(), "start").len() == 2
    })
    .await;
    stopped.signal("CONT");
    let process = job.wait().await.expect("an output");
    sleep(millis(2000)).await;
    let info = job.status().await.expect("a look").expect("a job");
    assert_eq!(
        (info.state, info.attempt),
        (JobState::Completed, 2),
        "{info:?}"
    );
    assert_eq!(
        info.attempts[0].error.as_deref(),
        Some("its worker was lost")
    );
    assert_ne!(info.attempts[0].pid, info.attempts[1].pid);
    assert_eq!(
        process, info.attempts[1].pid,
        "the output of the stopped one is refused"
    );
    assert_eq!(info.result, Some(serde_json::json!(process)));
    assert!(info.attempts[1].error.is_none());
    assert_eq!(notes(kit.folder(), "start").len(), 2);
}

async fn a_job_that_kills_its_process_is_dead_after_its_attempts(kit: Kit) {
    let jobs = open(&kit).await;
    let job = jobs.enqueue(ABORT, &()).await.expect("a job");
    let part = part(&kit, Play::Work { concurrency: 1 });
    for _ in 0..2 {
        Process::start(&part).wait();
    }
    let _third = Process::start(&part);
    let failure = job.wait().await;
    assert!(
        matches!(&failure, Err(nexios_jobs::JobFailure::Dead { error }) if error == "its worker was lost"),
        "{failure:?}"
    );
    assert_eq!(notes(kit.folder(), "abort").len(), 2);
}

async fn after_a_kill_a_job_goes_on_from_what_it_said_a_second_before_at_the_latest(kit: Kit) {
    let jobs = open(&kit).await;
    let job = jobs.enqueue(COUNT, &500).await.expect("a job");
    let part = part(&kit, Play::Work { concurrency: 1 });
    let mut killed = Process::start(&part);
    let minute = Duration::from_secs(60);
    let began = Instant::now();
    let seen = loop {
        let info = job.status().await.expect("a look").expect("a job");
        if info.done >= 150 {
            break info.done;
        }
        assert!(began.elapsed() < minute, "{info:?}");
        sleep(millis(10)).await;
    };
    killed.kill();
    let _next = Process::start(&part);
    let first = job.wait().await.expect("an output");
    // What was seen was stored; and no more than a second can have come after that.
    assert!((seen..seen + 100).contains(&first), "{first} after {seen}");
    let info = job.status().await.expect("a look").expect("a job");
    assert_eq!((info.attempt, info.done), (2, 500), "{info:?}");
}

async fn eight_processes_that_race_for_a_key_make_one_job(kit: Kit) {
    const ROUNDS: u32 = 100;
    let part = part(&kit, Play::Race { rounds: ROUNDS });
    let mut all: Vec<_> = (0..8).map(|_| Process::start(&part)).collect();
    all.iter_mut().for_each(Process::wait);
    let mut rounds: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for line in notes(kit.folder(), "key") {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().expect("a word");
        let (round, id, was_new) = (word(), word(), word() == "true");
        rounds.entry(round).or_default().push((id, was_new));
    }
    assert_eq!(rounds.len(), ROUNDS as usize);
    for (round, racers) in rounds {
        assert_eq!(racers.len(), 8, "round {round}");
        assert_eq!(
            racers.iter().filter(|(_, was_new)| *was_new).count(),
            1,
            "round {round}"
        );
        assert!(
            racers.iter().all(|(id, _)| *id == racers[0].0),
            "round {round}"
        );
    }
}

async fn each_tick_of_a_hundred_is_one_job_of_two_processes(kit: Kit) {
    let jobs = open(&kit).await;
    let start: u64 = 1_800_000_000_000 / 60_000 * 60_000;
    set_clock(kit.folder(), start + 1);
    let part = part(&kit, Play::Cron);
    let _both = [Process::start(&part), Process::start(&part)];
    until(Duration::from_secs(60), "both", || {
        notes(kit.folder(), "ready").len() == 2
    })
    .await;
    for tick in 1..=100 {
        set_clock(kit.folder(), start + tick * 60_000 + 1);
        sleep(millis(60)).await;
    }
    let count = async || {
        let page = jobs
            .list(Filter::new().kind(TICK).limit(1000))
            .await
            .expect("a page");
        page.jobs.len()
    };
    let began = Instant::now();
    while count().await < 100 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "some are missing"
        );
        sleep(millis(50)).await;
    }
    sleep(millis(500)).await;
    assert_eq!(count().await, 100);
}

async fn a_lazy_value_that_is_a_unique_job_is_computed_once_by_two_processes(kit: Kit) {
    let jobs = open(&kit).await;
    let part = part(&kit, Play::Lazy);
    let _first = [Process::start(&part), Process::start(&part)];
    let minute = Duration::from_secs(60);
    let have = async |count: usize, value: &str| {
        until(minute, "the value", || {
            let values = notes(kit.folder(), "value");
            values.iter().filter(|seen| *seen == value).count() == count
        })
        .await;
    };
    have(2, "1").await;
    // A third one asks when the job has ended.
    let _third = Process::start(&part);
    have(3, "1").await;
    assert_eq!(notes(kit.folder(), "computed").len(), 1);

    let done = Filter::new().kind(crate::child::DAILY).key("today");
    for job in jobs.list(done).await.expect("a page").jobs {
        jobs.delete(job.id).await.expect("a deletion");
    }
    jobs.signal("daily").await.expect("a signal");
    have(3, "2").await;
    assert_eq!(notes(kit.folder(), "computed").len(), 2);
    assert_eq!(notes(kit.folder(), "value").len(), 6);
}
