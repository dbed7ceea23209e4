//! Delays and turns of attempts beside code that is always ready.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use nexios::{CancelScope, CancelToken, Delay, Hedge, RaceError};
use tokio::time::sleep;

use crate::race::{busy, everywhere, ms};

/// How long the busy code would go on, and what is long before that.
const BUSY: Duration = ms(3_000);
const SOON: Duration = ms(1_000);

fn hedge() -> Hedge {
    Hedge::builder()
        .max_attempts(3)
        .delay(Delay::Fixed(ms(50)))
        .build()
}

/// Attempts before `good` are always ready and never done; `good` takes a moment.
async fn call(hedge: &Hedge, good: usize) -> Result<usize, RaceError<()>> {
    let call = hedge.run(|attempt| async move {
        match attempt.number < good {
            true => busy(BUSY).await,
            false => sleep(ms(20)).await,
        }
        Ok(attempt.number)
    });
    in_time(call).await
}

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let end = call.await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    end
}

#[test]
fn an_attempt_that_is_always_ready_keeps_no_other_from_its_start_and_turn() {
    everywhere(|| async {
        let hedge = hedge();
        assert_eq!(call(&hedge, 2).await.unwrap(), 2);
        assert_eq!(call(&hedge, 3).await.unwrap(), 3);
        assert_eq!(hedge.stats().hedges_started, 3);
    });
}

#[test]
fn an_attempt_starts_in_time_beside_a_neighbour_that_is_always_ready() {
    everywhere(|| async {
        let hedge = hedge();
        let call = hedge.run(|attempt| async move {
            if attempt.number == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, ()>(attempt.number)
        });
        let end = in_time(async {
            tokio::select! {
                biased;
                () = busy(BUSY) => panic!("the neighbour was faster"),
                end = call => end,
            }
        });
        assert_eq!(end.await.unwrap(), 2);
    });
}

#[test]
fn the_deadline_of_the_scope_holds_beside_attempts_that_are_always_ready() {
    everywhere(|| async {
        let scope = CancelScope::new(
            CancelToken::new(),
            Some(tokio::time::Instant::now() + ms(120)),
        );
        let end = scope.run(async { call(&hedge(), 4).await }).await;
        assert!(end.is_err_and(|error| error.is_timeout()));
    });
}
