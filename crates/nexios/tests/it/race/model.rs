//! Random schedules against a reference model that walks through time millisecond by millisecond.

use std::{sync::Mutex, time::Duration};

use nexios::{Candidate, Failure, run_until_first_complete};
use tokio::time::sleep;

use super::{Log, Xorshift, ms};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Together,
    After(u64),
    OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Good,
    Refused,
    Bad,
    Fatal,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    start: Start,
    limit: Option<u64>,
    /// `None`: ready at its first poll.
    takes: Option<u64>,
    answer: Answer,
}

#[derive(Debug, Clone)]
struct Setup {
    plans: Vec<Plan>,
    limit: Option<u64>,
    first_completed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Failed,
    TimedOut,
    Refused,
    Cancelled,
    NotStarted,
}

#[derive(Debug, PartialEq)]
struct Report {
    /// The winner's index, or every fate and whether the overall limit was hit.
    end: Result<usize, Vec<Fate>>,
    at: u64,
    /// Index and time of every start.
    starts: Vec<(usize, u64)>,
    discarded: Vec<usize>,
}

fn random_setup(random: &mut Xorshift) -> Setup {
    // Few distinct times, so that much falls into one instant.
    let count = random.below(6) as usize;
    let plans = (0..count)
        .map(|_| Plan {
            start: match random.below(4) {
                0 => Start::Together,
                1 => Start::OnFailure,
                _ => Start::After(random.below(5) * 5),
            },
            limit: random.chance(40).then(|| random.below(6) * 5),
            takes: random.chance(85).then(|| (1 + random.below(6)) * 5),
            answer: match random.below(10) {
                0..4 => Answer::Good,
                4..6 => Answer::Refused,
                6..9 => Answer::Bad,
                _ => Answer::Fatal,
            },
        })
        .collect();
    let limit = random.chance(40).then(|| random.below(12) * 5);
    Setup {
        plans,
        limit,
        first_completed: random.chance(15),
    }
}

/// The contract in its plainest form: what happens at each instant, in order.
fn reference(setup: &Setup) -> Report {
    let count = setup.plans.len();
    let mut fates = vec![Fate::NotStarted; count];
    let mut running: Vec<(usize, u64)> = Vec::new();
    let mut begun: Vec<u64> = Vec::new();
    let mut report = Report {
        end: Ok(0),
        at: 0,
        starts: Vec::new(),
        discarded: Vec::new(),
    };
    for now in 0_u64.. {
        report.at = now;
        let mut winner = None;
        let mut ended = false;
        let mut polled: Vec<usize> = running.iter().map(|(index, _)| *index).collect();
        // An instant is settled when nothing more happens in it.
        loop {
            for index in std::mem::take(&mut polled) {
                let plan = setup.plans[index];
                let Some(&(_, from)) = running.iter().find(|(other, _)| *other == index) else {
                    continue;
                };
                if !(report.starts.len() > index || ended && setup.first_completed) {
                    report.starts.push((index, now));
                }
                if now != from + plan.takes.unwrap_or(0) || (ended && setup.first_completed) {
                    continue;
                }
                running.retain(|(other, _)| *other != index);
                match plan.answer {
                    Answer::Good if winner.is_none() => winner = Some(index),
                    // Whatever comes after the winner is not judged any more.
                    Answer::Good | Answer::Refused => {
                        fates[index] = Fate::Refused;
                        report.discarded.push(index);
                    }
                    Answer::Bad => fates[index] = Fate::Failed,
                    Answer::Fatal => {
                        fates[index] = Fate::Failed;
                        ended = true;
                    }
                }
                ended |= setup.first_completed;
            }
            if winner.is_some() || ended {
                break;
            }
            running.retain(|&(index, from)| {
                let late = setup.plans[index]
                    .limit
                    .is_some_and(|limit| from + limit <= now);
                if late {
                    fates[index] = Fate::TimedOut;
                    ended |= setup.first_completed;
                }
                !late
            });
            if ended {
                break;
            }
            while let Some(plan) = setup.plans.get(begun.len()) {
                let index = begun.len();
                let due = match plan.start {
                    Start::Together => true,
                    Start::After(delay) => begun.last().is_some_and(|at| at + delay <= now),
                    Start::OnFailure => false,
                };
                if !running.is_empty() && !due {
                    break;
                }
                running.push((index, now));
                begun.push(now);
                polled.push(index);
            }
            if polled.is_empty() {
                break;
            }
        }
        if let Some(index) = winner {
            report.end = Ok(index);
            return report;
        }
        let exhausted = running.is_empty() && begun.len() == count;
        if ended || exhausted || setup.limit.is_some_and(|limit| limit <= now) {
            for (index, _) in running
                .into_iter()
                .filter(|(index, _)| *index < report.starts.len())
            {
                fates[index] = Fate::Cancelled;
            }
            report.end = Err(fates);
            return report;
        }
    }
    unreachable!("every plan ends")
}

async fn actual(setup: &Setup) -> Report {
    let log = Log::new();
    let starts = Mutex::new(Vec::new());
    let discarded = Mutex::new(Vec::new());
    let candidates = setup.plans.iter().enumerate().map(|(index, &plan)| {
        let (log, starts) = (&log, &starts);
        let mut candidate = Candidate::new(index.to_string(), async move {
            let _presence = log.enter("candidate");
            starts
                .lock()
                .expect("a push does not panic")
                .push((index, log.now() as u64));
            if let Some(takes) = plan.takes {
                sleep(ms(takes)).await;
            }
            match plan.answer {
                Answer::Good | Answer::Refused => Ok((index, plan.answer)),
                Answer::Bad | Answer::Fatal => Err(plan.answer),
            }
        });
        candidate = match plan.start {
            Start::Together => candidate,
            Start::After(delay) => candidate.after(ms(delay)),
            Start::OnFailure => candidate.on_failure(),
        };
        match plan.limit {
            Some(limit) => candidate.timeout(ms(limit)),
            None => candidate,
        }
    });
    let mut race = run_until_first_complete(candidates)
        .accept(|(_, answer)| *answer == Answer::Good)
        .fatal(|answer| *answer == Answer::Fatal)
        .on_discard(|(index, _)| discarded.lock().expect("a push does not panic").push(index));
    if let Some(limit) = setup.limit {
        race = race.timeout(ms(limit));
    }
    if setup.first_completed {
        race = race.first_completed();
    }
    let outcome = race.winner().await;
    let at = log.now() as u64;
    assert_eq!(log.live(), 0, "{setup:?}");
    let starts = starts.into_inner().expect("a push does not panic");
    let end = outcome.map(|winner| {
        assert_eq!(
            (winner.value.0, winner.started),
            (winner.index, starts.len()),
            "{setup:?}"
        );
        assert_eq!(winner.elapsed, Duration::from_millis(at), "{setup:?}");
        winner.index
    });
    let end = end.map_err(|error| {
        let names: Vec<usize> = error
            .failures()
            .iter()
            .map(|(name, _)| name.parse().expect("names are indices"))
            .collect();
        assert_eq!(
            names,
            (0..setup.plans.len()).collect::<Vec<usize>>(),
            "{setup:?}"
        );
        let fate = |failure: &Failure<_>| match failure {
            Failure::Failed(_) => Fate::Failed,
            Failure::TimedOut => Fate::TimedOut,
            Failure::Refused => Fate::Refused,
            Failure::Cancelled => Fate::Cancelled,
            _ => Fate::NotStarted,
        };
        error
            .failures()
            .iter()
            .map(|(_, failure)| fate(failure))
            .collect()
    });
    Report {
        end,
        at,
        starts,
        discarded: discarded.into_inner().expect("a push does not panic"),
    }
}

/// RC-*, HG-0xx: the rules together, in 20,000 random races, many with several things in one instant.
#[tokio::test(start_paused = true)]
async fn a_race_does_what_the_reference_model_says() {
    let mut random = Xorshift(0x2545_F491_4F6C_DD1D);
    let (mut won, mut lost) = (0, 0);
    for _ in 0..20_000 {
        let setup = random_setup(&mut random);
        let expected = reference(&setup);
        assert_eq!(actual(&setup).await, expected, "{setup:?}");
        if expected.end.is_ok() {
            won += 1;
        } else {
            lost += 1;
        }
    }
    assert!(
        won > 5_000 && lost > 5_000,
        "the generator covers both ends: {won} and {lost}"
    );
}
