//! No code of others runs while the group's lock is held.

use nexios::{Interrupted, Spawner, TaskGroup};

use super::probes::{millis, watched};

/// An error whose destructor looks into its own group.
struct Nosy(Option<Spawner<'static, Nosy>>);

impl From<Interrupted> for Nosy {
    fn from(_: Interrupted) -> Self {
        Nosy(None)
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(spawner) = &self.0 {
            let _ = spawner.token();
        }
    }
}

#[test]
fn an_error_that_finds_no_room_is_dropped_outside_the_lock() {
    let kept = watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let group: TaskGroup<'static, Nosy> = TaskGroup::builder().grace(millis(1_000)).build();
            let token = group.token();
            for _ in 0..70 {
                let (token, spawner) = (token.clone(), group.spawner());
                group.spawn(async move {
                    token.cancelled().await;
                    Err::<(), _>(Nosy(Some(spawner)))
                });
            }
            let spawner = group.spawner();
            group.spawn(async move { Err::<(), _>(Nosy(Some(spawner))) });
            assert!(group.join().await.is_err());
            group.suppressed().len()
        })
    });
    assert_eq!(kept, 64);
}
