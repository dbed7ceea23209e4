//! Random histories of one cell, held against a sequential model.
//!
//! LZ-060: every history of `get`, `refresh`, `set` and `reset` must be explained by some order of the calls
//! that respects which call ended before which other began.

mod map;
pub(super) mod model;

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use model::{Call, History, Kind, Random};
use nexios::{AsyncLazy, LazyError};

use super::{poll_once, settle};

type Answer = Result<Arc<u64>, LazyError<()>>;
type Waiting<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Values from here on were set, those below were computed.
const SET: u64 = 1_000;

/// A clock of the history: every event has a time of its own.
#[derive(Default)]
struct Events(AtomicU64);

impl Events {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Computes numbers in order; every fifth computation fails.
struct Numbers {
    events: Arc<Events>,
    /// When each computation began; its number is its place.
    began: Mutex<Vec<u64>>,
    /// The computations that may end.
    released: tokio::sync::watch::Sender<BTreeSet<u64>>,
}

impl Numbers {
    fn new(events: &Arc<Events>) -> Arc<Self> {
        let released = tokio::sync::watch::Sender::default();
        Arc::new(Self {
            events: Arc::clone(events),
            began: Mutex::default(),
            released,
        })
    }

    fn begin(&self) -> u64 {
        let mut began = self.began.lock().unwrap();
        began.push(self.events.next());
        began.len() as u64 - 1
    }

    fn outcome(number: u64) -> Result<u64, ()> {
        if number % 5 == 4 { Err(()) } else { Ok(number) }
    }
}

#[tokio::test(start_paused = true)]
async fn random_histories_on_one_thread_have_a_sequential_explanation() {
    for seed in 0..1_000 {
        one_thread(seed).await;
    }
}

/// Five callers, scheduled by the seed: who begins what, who is polled, who leaves, which computation ends.
async fn one_thread(seed: u64) {
    let mut random = Random::new(seed);
    let events = Arc::new(Events::default());
    let numbers = Numbers::new(&events);
    let cell = {
        let numbers = Arc::clone(&numbers);
        AsyncLazy::builder(move || {
            let number = numbers.begin();
            let mut released = numbers.released.subscribe();
            async move {
                released
                    .wait_for(|released| released.contains(&number))
                    .await
                    .unwrap();
                Numbers::outcome(number)
            }
        })
        .keep_warm(seed.is_multiple_of(4))
        .build()
    };
    let mut history = History::default();
    let mut callers: Vec<Option<(u64, bool, Waiting<'_>)>> = (0..5).map(|_| None).collect();
    let mut next_set = SET;
    for _ in 0..40 {
        let caller = &mut callers[random.below(5)];
        match random.below(10) {
            0..=3 => match caller.take() {
                Some((begun, refresh, mut call)) => match poll_once(&mut call) {
                    Poll::Pending => *caller = Some((begun, refresh, call)),
                    Poll::Ready(answer) => history.answered(begun, events.next(), refresh, &answer),
                },
                None => {
                    let refresh = random.below(3) == 0;
                    let begun = events.next();
                    let mut call: Waiting<'_> = if refresh {
                        Box::pin(cell.refresh())
                    } else {
                        Box::pin(cell.get())
                    };
                    match poll_once(&mut call) {
                        Poll::Pending => *caller = Some((begun, refresh, call)),
                        Poll::Ready(answer) => {
                            history.answered(begun, events.next(), refresh, &answer);
                        }
                    }
                }
            },
            4 => {
                if let Some((begun, refresh, call)) = caller.take() {
                    drop(call);
                    history.left(begun, refresh);
                }
            }
            5 => {
                let begun = events.next();
                cell.set(next_set);
                history.push(Call {
                    begun,
                    ended: events.next(),
                    kind: Kind::Set(next_set),
                });
                next_set += 1;
            }
            6 => {
                let begun = events.next();
                cell.reset();
                history.push(Call {
                    begun,
                    ended: events.next(),
                    kind: Kind::Reset,
                });
            }
            7 => settle().await,
            _ => {
                let count = numbers.began.lock().unwrap().len();
                if count > 0 {
                    let number = random.below(count.min(4)) as u64 + count.saturating_sub(4) as u64;
                    numbers
                        .released
                        .send_modify(|released| released.extend([number]));
                }
            }
        }
    }
    numbers
        .released
        .send_modify(|released| released.extend(0..200));
    for (begun, refresh, call) in callers.into_iter().flatten() {
        let answer = call.await;
        history.answered(begun, events.next(), refresh, &answer);
    }
    let began = numbers.began.lock().unwrap().clone();
    history
        .check(&began)
        .unwrap_or_else(|reason| panic!("seed {seed}: {reason}\n{history:#?}\nbegan: {began:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_histories_on_many_threads_have_a_sequential_explanation() {
    for seed in 0..1_000 {
        many_threads(seed).await;
    }
}

async fn many_threads(seed: u64) {
    let events = Arc::new(Events::default());
    let numbers = Numbers::new(&events);
    let cell = {
        let numbers = Arc::clone(&numbers);
        Arc::new(
            AsyncLazy::builder(move || {
                let number = numbers.begin();
                async move {
                    for _ in 0..number % 3 {
                        tokio::task::yield_now().await;
                    }
                    Numbers::outcome(number)
                }
            })
            .keep_warm(seed.is_multiple_of(4))
            .build(),
        )
    };
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (cell, events) = (Arc::clone(&cell), Arc::clone(&events));
            tokio::spawn(async move {
                let mut random = Random::new(seed * 4 + caller);
                let mut history = History::default();
                for round in 0..5 {
                    let begun = events.next();
                    match random.below(8) {
                        0 => {
                            let value = SET + caller * 100 + round;
                            cell.set(value);
                            history.push(Call {
                                begun,
                                ended: events.next(),
                                kind: Kind::Set(value),
                            });
                        }
                        1 => {
                            cell.reset();
                            history.push(Call {
                                begun,
                                ended: events.next(),
                                kind: Kind::Reset,
                            });
                        }
                        2 => {
                            let mut call: Waiting<'_> = Box::pin(cell.refresh());
                            match poll_once(&mut call) {
                                Poll::Ready(answer) => {
                                    history.answered(begun, events.next(), true, &answer);
                                }
                                Poll::Pending => {
                                    drop(call);
                                    history.left(begun, true);
                                }
                            }
                        }
                        3 => {
                            let answer = cell.refresh().await;
                            history.answered(begun, events.next(), true, &answer);
                        }
                        _ => {
                            let answer = cell.get().await;
                            history.answered(begun, events.next(), false, &answer);
                        }
                    }
                }
                history
            })
        })
        .collect();
    let mut history = History::default();
    for caller in callers {
        history.append(caller.await.unwrap());
    }
    let began = numbers.began.lock().unwrap().clone();
    history
        .check(&began)
        .unwrap_or_else(|reason| panic!("seed {seed}: {reason}\n{history:#?}\nbegan: {began:?}"));
}

#[test]
fn the_check_itself_rejects_what_must_not_happen() {
    let call = |begun, ended, kind| Call { begun, ended, kind };
    let rejected = |calls: &[Call], began: &[u64]| {
        let mut history = History::default();
        calls.iter().for_each(|call| history.push(*call));
        history.check(began).is_err()
    };
    let get = |value| Kind::Get(value);
    assert!(!rejected(
        &[
            call(0, 3, get(0)),
            call(4, 5, Kind::Reset),
            call(6, 9, get(1))
        ],
        &[1, 7]
    ));
    // A value comes back after a reset.
    assert!(rejected(
        &[
            call(0, 3, get(0)),
            call(4, 5, Kind::Reset),
            call(6, 7, get(0))
        ],
        &[1]
    ));
    // A computation from before the reset answers a get from after it.
    assert!(rejected(
        &[call(1, 2, Kind::Reset), call(3, 4, get(0))],
        &[0]
    ));
    // An older completion overwrites a set value.
    assert!(rejected(
        &[
            call(0, 9, get(0)),
            call(2, 3, Kind::Set(SET)),
            call(10, 11, get(0))
        ],
        &[1]
    ));
    // Two values at once.
    assert!(rejected(&[call(0, 3, get(0)), call(4, 5, get(1))], &[1, 2]));
    // A refresh brings what was there.
    assert!(rejected(
        &[call(0, 1, Kind::Set(SET)), call(2, 3, Kind::Refresh(SET))],
        &[]
    ));
    // A refresh may bring what was set meanwhile.
    assert!(!rejected(
        &[call(0, 3, Kind::Refresh(SET)), call(1, 2, Kind::Set(SET))],
        &[]
    ));
}
