//! says: work in this group returns `Result<_, _>`, and this returns `u32`
//! says: a child that cannot fail: `group.spawn_value(work)`, or `async { Ok(work.await) }`

use nexios::TaskGroup;

async fn one() -> u32 {
    1
}

fn main() {
    let group = TaskGroup::new();
    group.spawn(one());
}
