//! A thread's own way to a value is only ever faster.

use std::{
    sync::{Arc, Weak},
    thread,
};

use nexios::AsyncLazy;

use super::{Broken, Source, pass_time, poll_once, seconds};

type Cell = AsyncLazy<usize, Broken>;

fn hit<T: Send + Sync + 'static>(cell: &AsyncLazy<T, Broken>) -> Arc<T> {
    match poll_once(&mut cell.get()) {
        std::task::Poll::Ready(value) => value.unwrap(),
        std::task::Poll::Pending => panic!("a value that is there needs no waiting"),
    }
}

fn set(value: usize) -> Cell {
    let cell = Source::new().builder().build();
    cell.set(value);
    cell
}

#[test]
fn what_another_thread_changes_is_seen_at_once() {
    let cell = Arc::new(set(0));
    for value in 1..100 {
        assert_eq!(*hit(&cell), value - 1);
        assert_eq!(*hit(&cell), value - 1, "by the shortcut");
        let other = cell.clone();
        thread::spawn(move || other.set(value)).join().unwrap();
        assert_eq!(*hit(&cell), value);
    }
    let other = cell.clone();
    thread::spawn(move || other.reset()).join().unwrap();
    assert!(cell.peek().is_none());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { assert!(poll_once(&mut cell.get()).is_pending()) });
}

#[test]
fn values_go_one_way_for_all_threads() {
    // A value read through one thread's shortcut is never older than one that another has read before.
    let cell = Arc::new(set(0));
    let newest = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (cell, newest) = (cell.clone(), newest.clone());
            thread::spawn(move || {
                while newest.load(std::sync::atomic::Ordering::SeqCst) < 20_000 {
                    let seen = newest.load(std::sync::atomic::Ordering::SeqCst);
                    let value = *hit(&cell);
                    assert!(value >= seen, "{value} after {seen}");
                    newest.fetch_max(value, std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    for value in 1..=20_000 {
        cell.set(value);
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn more_cells_than_a_thread_remembers_all_work_and_count() {
    let cells: Vec<_> = (0..100).map(set).collect();
    for _ in 0..5 {
        for (number, cell) in cells.iter().enumerate() {
            assert_eq!(*hit(cell), number);
        }
    }
    assert!(cells.iter().all(|cell| cell.stats().hits == 5));
    // Places of cells that are gone are free for others.
    drop(cells);
    let later: Vec<_> = (0..100).map(set).collect();
    for (number, cell) in later.iter().enumerate() {
        assert_eq!(
            (*hit(cell), *hit(cell), cell.stats().hits),
            (number, number, 2)
        );
    }
}

#[test]
fn hits_of_threads_that_have_ended_still_count() {
    let cell = Arc::new(set(1));
    for round in 1..=20 {
        let other = cell.clone();
        thread::spawn(move || (0..10).for_each(|_| drop(hit(&other))))
            .join()
            .unwrap();
        assert_eq!(cell.stats().hits, round * 10);
    }
}

#[test]
fn a_shortcut_keeps_no_value_alive() {
    // Every thread that has read it remembers it, none keeps it.
    let cell: Arc<AsyncLazy<Arc<()>, Broken>> =
        Arc::new(AsyncLazy::new(|| async { Ok(Arc::new(())) }));
    let value = Arc::new(());
    let weak: Weak<()> = Arc::downgrade(&value);
    cell.set(value);
    drop((hit(&cell), hit(&cell)));
    assert!(weak.upgrade().is_some());
    cell.reset();
    assert!(weak.upgrade().is_none());
}

/// There a thread has no number any more by which it could remember anything.
#[test]
fn a_hit_of_a_thread_that_is_ending_is_a_hit() {
    struct Hits(Arc<Cell>, std::sync::mpsc::Sender<usize>);

    impl Drop for Hits {
        fn drop(&mut self) {
            for _ in 0..3 {
                self.1.send(*hit(&self.0)).unwrap();
            }
        }
    }

    thread_local! {
        static LAST: std::cell::RefCell<Option<Hits>> = const { std::cell::RefCell::new(None) };
    }
    let cell = Arc::new(set(1));
    for read_before in [false, true] {
        let (sender, hits) = std::sync::mpsc::channel();
        let last = Hits(cell.clone(), sender);
        let before = cell.stats().hits;
        let thread = thread::spawn(move || {
            // What is used first is dropped last.
            LAST.with(|_| ());
            if read_before {
                drop(hit(&last.0));
            }
            LAST.replace(Some(last));
        });
        thread.join().unwrap();
        assert_eq!(hits.iter().collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(cell.stats().hits - before, 3 + u64::from(read_before));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_expires_for_shortcuts_too() {
    let source = Source::open();
    let cell = source.builder().ttl(seconds(10)).build();
    cell.get().await.unwrap();
    pass_time(9.999).await;
    assert_eq!((*hit(&cell), *hit(&cell)), (1, 1));
    pass_time(0.001).await;
    assert_eq!(
        *cell.get().await.unwrap(),
        2,
        "an age equal to the limit is past it"
    );
    assert_eq!((cell.stats().hits, cell.stats().misses), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn stats_tell_the_age_and_how_long_the_last_computation_took() {
    // LZ-058
    let cell = AsyncLazy::<u8, Broken>::builder(|| async {
        tokio::time::sleep(seconds(3)).await;
        Ok(1)
    })
    .ttl(seconds(10))
    .build();
    assert_eq!((cell.stats().age, cell.stats().last_duration), (None, None));
    cell.get().await.unwrap();
    pass_time(2.0).await;
    let stats = cell.stats();
    assert_eq!(
        (stats.age, stats.last_duration),
        (Some(seconds(2)), Some(seconds(3)))
    );
    assert_eq!(stats.age, cell.age());
    // Who leaves says nothing about how long it would have taken.
    cell.reset();
    assert!(poll_once(&mut cell.get()).is_pending());
    pass_time(1.0).await;
    assert_eq!(
        (cell.stats().age, cell.stats().last_duration),
        (None, Some(seconds(3)))
    );
}
