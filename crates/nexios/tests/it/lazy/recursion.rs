//! Computations that ask for their own value.

use std::sync::{Arc, OnceLock};

use nexios::{AsyncLazy, LazyError};

use super::{Broken, pass_time, poll_once, seconds, settle};

type Cell = AsyncLazy<u32, LazyError<Broken>>;
type Slot = Arc<OnceLock<Arc<Cell>>>;

/// A cell that asks the cell in `slot`, once somebody has put it there.
fn asking(slot: &Slot) -> Arc<Cell> {
    let slot = Arc::clone(slot);
    Arc::new(AsyncLazy::new(move || {
        let other = slot.get().cloned();
        async move {
            settle().await;
            match other {
                Some(other) => other.get().await.map(|value| *value + 1).map_err(flat),
                None => Ok(0),
            }
        }
    }))
}

fn flat(error: LazyError<LazyError<Broken>>) -> LazyError<Broken> {
    match error {
        LazyError::Failed(inner) => (*inner).clone(),
        LazyError::Recursive => LazyError::Recursive,
        _ => LazyError::Panicked,
    }
}

fn is_recursive(answer: &Result<Arc<u32>, LazyError<LazyError<Broken>>>) -> bool {
    matches!(answer, Err(LazyError::Failed(error)) if matches!(**error, LazyError::Recursive))
}

#[tokio::test(start_paused = true)]
async fn a_get_inside_its_own_computation_is_an_error() {
    // LZ-063, L7
    let slot = Slot::default();
    let cell = asking(&slot);
    slot.set(Arc::clone(&cell)).unwrap();
    let answer = tokio::time::timeout(seconds(1), cell.get()).await.unwrap();
    assert!(is_recursive(&answer));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_inside_its_own_computation_is_an_error() {
    static CELL: OnceLock<AsyncLazy<u8, LazyError<()>>> = OnceLock::new();
    let cell = CELL.get_or_init(|| {
        AsyncLazy::new(|| async {
            match CELL.get() {
                Some(cell) => {
                    assert!(matches!(cell.refresh().await, Err(LazyError::Recursive)));
                    Ok(1)
                }
                None => Ok(0),
            }
        })
    });
    assert_eq!(*cell.get().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn recursion_is_found_through_a_second_and_a_third_cell() {
    for length in [2, 3] {
        let slots: Vec<Slot> = (0..length).map(|_| Slot::default()).collect();
        let cells: Vec<_> = slots.iter().map(asking).collect();
        for (index, slot) in slots.iter().enumerate() {
            slot.set(Arc::clone(&cells[(index + 1) % length])).unwrap();
        }
        let answer = tokio::time::timeout(seconds(1), cells[0].get())
            .await
            .unwrap();
        assert!(is_recursive(&answer), "{length} cells");
    }
}

#[tokio::test(start_paused = true)]
async fn recursion_is_found_when_both_computations_were_started_from_outside() {
    let slots = [Slot::default(), Slot::default()];
    let cells = [asking(&slots[0]), asking(&slots[1])];
    slots[0].set(Arc::clone(&cells[1])).unwrap();
    slots[1].set(Arc::clone(&cells[0])).unwrap();
    let (one, two) = tokio::time::timeout(seconds(1), async {
        tokio::join!(cells[0].get(), cells[1].get())
    })
    .await
    .unwrap();
    assert!(is_recursive(&one) && is_recursive(&two));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_asks_another_is_no_recursion() {
    let slot = Slot::default();
    let (inner, outer) = (asking(&Slot::default()), asking(&slot));
    slot.set(Arc::clone(&inner)).unwrap();
    let both = tokio::join!(outer.get(), inner.get(), outer.get());
    assert_eq!(
        (*both.0.unwrap(), *both.1.unwrap(), *both.2.unwrap()),
        (1, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_value_may_be_read_inside_the_computation_of_the_next() {
    static CELL: OnceLock<AsyncLazy<u32, LazyError<()>>> = OnceLock::new();
    let cell = CELL.get_or_init(|| {
        AsyncLazy::builder(|| async {
            let old = CELL.get().map_or(Ok(Arc::new(0)), |cell| {
                let std::task::Poll::Ready(answer) = poll_once(&mut cell.get()) else {
                    panic!("it waits")
                };
                answer
            });
            Ok(*old.map_err(|_| LazyError::Panicked)? + 1)
        })
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(10))
        .build()
    });
    cell.set(70);
    assert_eq!(*cell.refresh().await.unwrap(), 71);
    pass_time(10.0).await;
    assert_eq!(*cell.get().await.unwrap(), 71);
    settle().await;
    assert_eq!(*cell.get().await.unwrap(), 72);
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_resets_and_asks_again_does_not_go_on_for_ever() {
    static CELL: OnceLock<AsyncLazy<u8, LazyError<()>>> = OnceLock::new();
    let cell = CELL.get_or_init(|| {
        AsyncLazy::new(|| async {
            let Some(cell) = CELL.get() else { return Ok(0) };
            cell.reset();
            cell.get()
                .await
                .map(|value| *value)
                .map_err(|_| LazyError::Recursive)
        })
    });
    assert!(cell.get().await.is_err());
    assert_eq!(cell.stats().computations, 1);
}

#[tokio::test(start_paused = true)]
async fn a_background_refresh_may_ask_for_the_cell_whose_computation_began_it() {
    // The outer computation is served a stale value, so it does not wait for the refresh that waits for it.
    static OUTER: OnceLock<AsyncLazy<u32, LazyError<()>>> = OnceLock::new();
    static INNER: OnceLock<AsyncLazy<u32, LazyError<()>>> = OnceLock::new();
    let outer = OUTER.get_or_init(|| {
        AsyncLazy::new(|| async {
            let inner = INNER
                .get()
                .unwrap()
                .get()
                .await
                .map_err(|_| LazyError::Panicked)?;
            settle().await;
            Ok(*inner + 1)
        })
    });
    let inner = INNER.get_or_init(|| {
        AsyncLazy::builder(|| async {
            Ok(*OUTER
                .get()
                .unwrap()
                .get()
                .await
                .map_err(|_| LazyError::Panicked)?
                + 100)
        })
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(10))
        .build()
    });
    inner.set(1);
    pass_time(10.0).await;
    assert_eq!(*outer.get().await.unwrap(), 2);
    settle().await;
    assert_eq!(*inner.get().await.unwrap(), 102);
}
