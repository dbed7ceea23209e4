//! Random histories of a map, held against the same model: each key's must be explained by itself, where a
//! `reset_all` counts as a `reset` of every key.

use nexios::AsyncLazyMap;

use super::{
    Answer, Arc, Call, Events, Future, History, Kind, Numbers, Pin, Poll, Random, SET, poll_once,
    settle,
};

type Map = AsyncLazyMap<usize, u64, ()>;
type Waiting<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

const KEYS: [usize; 3] = [0, 1, 2];

/// One history for each key.
struct Histories([History; KEYS.len()]);

impl Histories {
    fn new(capacity: usize) -> Self {
        let forgetful = capacity < KEYS.len();
        Self(std::array::from_fn(|_| History::new(forgetful)))
    }

    fn reset_all(&mut self, begun: u64, ended: u64) {
        for history in &mut self.0 {
            history.push(Call {
                begun,
                ended,
                kind: Kind::Reset,
            });
        }
    }

    #[track_caller]
    fn check(&self, seed: u64, numbers: &Numbers) {
        let began = numbers.began.lock().unwrap().clone();
        for (key, history) in self.0.iter().enumerate() {
            history.check(&began).unwrap_or_else(|reason| {
                panic!("seed {seed}, key {key}: {reason}\n{history:#?}\nbegan: {began:?}")
            });
        }
    }
}

/// With room for all keys, and for two of three.
const CAPACITIES: [usize; 2] = [100, 2];

#[tokio::test(start_paused = true)]
async fn random_histories_of_a_map_on_one_thread_have_a_sequential_explanation() {
    // LZ-060
    for seed in 0..1_000 {
        for capacity in CAPACITIES {
            one_thread(seed, capacity).await;
        }
    }
}

async fn one_thread(seed: u64, capacity: usize) {
    let mut random = Random::new(seed);
    let events = Arc::new(Events::default());
    let numbers = Numbers::new(&events);
    let map: Map = {
        let numbers = Arc::clone(&numbers);
        AsyncLazyMap::builder(capacity, move |_| {
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
    let mut histories = Histories::new(capacity);
    let mut callers: Vec<Option<(usize, u64, bool, Waiting<'_>)>> = (0..6).map(|_| None).collect();
    let mut next_set = SET;
    for _ in 0..60 {
        let caller = &mut callers[random.below(6)];
        match random.below(12) {
            0..=4 => {
                let (key, begun, refresh, mut call) = caller.take().unwrap_or_else(|| {
                    let (key, refresh) = (random.below(KEYS.len()), random.below(3) == 0);
                    let call: Waiting<'_> = if refresh {
                        Box::pin(map.refresh(&KEYS[key]))
                    } else {
                        Box::pin(map.get(&KEYS[key]))
                    };
                    (key, events.next(), refresh, call)
                });
                match poll_once(&mut call) {
                    Poll::Pending => *caller = Some((key, begun, refresh, call)),
                    Poll::Ready(answer) => {
                        histories.0[key].answered(begun, events.next(), refresh, &answer);
                    }
                }
            }
            5 => {
                if let Some((key, begun, refresh, call)) = caller.take() {
                    drop(call);
                    histories.0[key].left(begun, refresh);
                }
            }
            6 => {
                let (key, begun) = (random.below(KEYS.len()), events.next());
                map.set(key, next_set);
                histories.0[key].push(Call {
                    begun,
                    ended: events.next(),
                    kind: Kind::Set(next_set),
                });
                next_set += 1;
            }
            7 => {
                let (key, begun) = (random.below(KEYS.len()), events.next());
                map.reset(&key);
                histories.0[key].push(Call {
                    begun,
                    ended: events.next(),
                    kind: Kind::Reset,
                });
            }
            8 if random.below(3) == 0 => {
                let begun = events.next();
                map.reset_all();
                histories.reset_all(begun, events.next());
            }
            8 | 9 => settle().await,
            _ => {
                let count = numbers.began.lock().unwrap().len();
                if count > 0 {
                    let number = random.below(count.min(6)) as u64 + count.saturating_sub(6) as u64;
                    numbers
                        .released
                        .send_modify(|released| released.extend([number]));
                }
            }
        }
        assert!(map.len() <= capacity);
    }
    numbers
        .released
        .send_modify(|released| released.extend(0..200));
    for (key, begun, refresh, call) in callers.into_iter().flatten() {
        let answer = call.await;
        histories.0[key].answered(begun, events.next(), refresh, &answer);
    }
    histories.check(seed, &numbers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_histories_of_a_map_on_many_threads_have_a_sequential_explanation() {
    // LZ-060
    for seed in 0..1_000 {
        many_threads(seed, CAPACITIES[seed as usize % 2]).await;
    }
}

async fn many_threads(seed: u64, capacity: usize) {
    let events = Arc::new(Events::default());
    let numbers = Numbers::new(&events);
    let map: Arc<Map> = {
        let numbers = Arc::clone(&numbers);
        Arc::new(
            AsyncLazyMap::builder(capacity, move |_| {
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
            let (map, events) = (Arc::clone(&map), Arc::clone(&events));
            tokio::spawn(async move {
                let mut random = Random::new(seed * 4 + caller);
                let mut histories = Histories::new(capacity);
                for round in 0..8 {
                    let key = random.below(KEYS.len());
                    let begun = events.next();
                    match random.below(9) {
                        0 => {
                            let value = SET + caller * 100 + round;
                            map.set(key, value);
                            let kind = Kind::Set(value);
                            histories.0[key].push(Call {
                                begun,
                                ended: events.next(),
                                kind,
                            });
                        }
                        1 => {
                            map.reset(&key);
                            histories.0[key].push(Call {
                                begun,
                                ended: events.next(),
                                kind: Kind::Reset,
                            });
                        }
                        2 => {
                            map.reset_all();
                            histories.reset_all(begun, events.next());
                        }
                        3 => {
                            let mut call: Waiting<'_> = Box::pin(map.refresh(&key));
                            match poll_once(&mut call) {
                                Poll::Ready(answer) => {
                                    histories.0[key].answered(begun, events.next(), true, &answer);
                                }
                                Poll::Pending => {
                                    drop(call);
                                    histories.0[key].left(begun, true);
                                }
                            }
                        }
                        4 => {
                            let answer = map.refresh(&key).await;
                            histories.0[key].answered(begun, events.next(), true, &answer);
                        }
                        _ => {
                            let answer = map.get(&key).await;
                            histories.0[key].answered(begun, events.next(), false, &answer);
                        }
                    }
                }
                histories
            })
        })
        .collect();
    let mut all = Histories::new(capacity);
    for caller in callers {
        for (whole, part) in all.0.iter_mut().zip(caller.await.unwrap().0) {
            whole.append(part);
        }
    }
    all.check(seed, &numbers);
}
