//! A value that is there already.

use std::{sync::Arc, time::Duration};

use nexios::{AsyncLazy, AsyncLazyMap};
use tokio::sync::OnceCell;

use crate::contest::Contest;

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn contests() -> Vec<Contest> {
    vec![hit(), hit_with_ttl(), map_hit()]
}

fn hit() -> Contest {
    let lazy = Arc::new(AsyncLazy::<u64, String>::new(|| async { Ok(42) }));
    lazy.set(42);
    let once = Arc::new(OnceCell::new_with(Some(Arc::new(42_u64))));
    Contest::new("lazy/hit", 1)
        .side("nexios", move || {
            let lazy = lazy.clone();
            async move { lazy.get().await.ok() }
        })
        .rival("OnceCell and Arc::clone", 2.0, move || {
            let once = once.clone();
            async move { once.get_or_init(|| async { Arc::new(1) }).await.clone() }
        })
}

fn hit_with_ttl() -> Contest {
    let lazy = Arc::new(
        AsyncLazy::<u64, String>::builder(|| async { Ok(42) })
            .ttl(HOUR)
            .build(),
    );
    lazy.set(42);
    let cache = moka::future::Cache::<u64, Arc<u64>>::builder()
        .time_to_live(HOUR)
        .build();
    Contest::new("lazy/hit_ttl", 1)
        .side("nexios", move || {
            let lazy = lazy.clone();
            async move { lazy.get().await.ok() }
        })
        .rival("moka", 0.3, move || {
            let cache = cache.clone();
            async move { cache.get_with(1, async { Arc::new(42) }).await }
        })
}

fn map_hit() -> Contest {
    let map = Arc::new(AsyncLazyMap::<u64, u64, String>::new(
        1_000,
        |key| async move { Ok(key) },
    ));
    let cache = moka::future::Cache::<u64, Arc<u64>>::new(1_000);
    Contest::new("lazy_map/hit", 1)
        .side("nexios", move || {
            let map = map.clone();
            async move { map.get(&1).await.ok() }
        })
        .side("moka", move || {
            let cache = cache.clone();
            async move { cache.get_with(1, async { Arc::new(1) }).await }
        })
}
