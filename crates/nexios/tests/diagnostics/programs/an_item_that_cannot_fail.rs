//! says: and this returns `()`

fn main() {
    let group = nexios::TaskGroup::infallible();
    drop(group.map([1, 2], |number| async move { drop(number) }));
}
