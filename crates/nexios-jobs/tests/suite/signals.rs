//! Calls in every process that listens.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::AsyncLazy;
use tokio::time::{Instant, sleep};

use crate::{
    kit::{Kit, millis},
    on_every_engine,
};

on_every_engine!(
    a_signal_calls_every_listener_of_its_name,
    a_stopped_listener_is_not_called_again,
    a_lazy_value_is_reset_everywhere,
);

async fn called(calls: &AtomicUsize, least: usize) {
    let began = Instant::now();
    while calls.load(Ordering::SeqCst) < least {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "nobody was called"
        );
        sleep(millis(10)).await;
    }
}

fn counter() -> (Arc<AtomicUsize>, impl Fn() + Send + Sync + 'static) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    (calls, move || {
        counted.fetch_add(1, Ordering::SeqCst);
    })
}

async fn a_signal_calls_every_listener_of_its_name(kit: Kit) {
    let (jobs, elsewhere) = (kit.jobs().await, kit.jobs().await);
    jobs.signal("reload").await.unwrap();
    let ((own, on_own), (far, on_far), (other, on_other)) = (counter(), counter(), counter());
    let signal = jobs.on_signal("reload", on_own).await.unwrap();
    drop(elsewhere.on_signal("reload", on_far).await.unwrap());
    jobs.on_signal("something else", on_other).await.unwrap();
    assert_eq!(signal.name(), "reload");
    sleep(millis(300)).await;
    assert_eq!(
        own.load(Ordering::SeqCst),
        0,
        "only what is sent after it listens"
    );
    jobs.signal("reload").await.unwrap();
    called(&own, 1).await;
    called(&far, 1).await;
    signal.send().await.unwrap();
    called(&own, 2).await;
    called(&far, 2).await;
    assert_eq!(other.load(Ordering::SeqCst), 0);
}

async fn a_stopped_listener_is_not_called_again(kit: Kit) {
    let jobs = kit.jobs().await;
    let (calls, listener) = counter();
    let signal = jobs.on_signal("reload", listener).await.unwrap();
    signal.stop();
    jobs.signal("reload").await.unwrap();
    sleep(millis(300)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

async fn a_lazy_value_is_reset_everywhere(kit: Kit) {
    static COMPUTED: AtomicUsize = AtomicUsize::new(0);
    static VALUE: LazyLock<AsyncLazy<usize, String>> =
        LazyLock::new(|| AsyncLazy::new(|| async { Ok(COMPUTED.fetch_add(1, Ordering::SeqCst)) }));
    let (jobs, elsewhere) = (kit.jobs().await, kit.jobs().await);
    let before = *VALUE.get().await.unwrap();
    jobs.reset_everywhere(&VALUE, "daily stats").await.unwrap();
    assert_eq!(
        *VALUE.get().await.unwrap(),
        before,
        "registering resets nothing"
    );
    elsewhere.signal("daily stats").await.unwrap();
    let began = Instant::now();
    while *VALUE.get().await.unwrap() == before {
        assert!(began.elapsed() < Duration::from_secs(5), "it was not reset");
        sleep(millis(10)).await;
    }
}
