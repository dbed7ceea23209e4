//! says: and this returns `()`

fn main() {
    let group = nexios::TaskGroup::infallible();
    drop(group.run(async {}));
}
