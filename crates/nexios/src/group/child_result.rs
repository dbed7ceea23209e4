/// What work in a group returns: a `Result` with the error of the group.
///
/// The bound on `Future::Output` beside it says as much; this one is there for what the compiler tells whoever spawns
/// something else. It is implemented for `Result<T, E>` alone.
///
/// # Examples
///
/// ```
/// use nexios::{ChildResult, Interrupted};
///
/// fn is_for_a_group_with<E>(_result: impl ChildResult<E>) {}
/// is_for_a_group_with::<Interrupted>(Ok(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "work in this group returns `Result<_, {E}>`, and this returns `{Self}`",
    label = "returns `{Self}`",
    note = "a child with an error of its own: `group.spawn_into(work)` or `group.spawn_named_into(name, work)`, where the group's error is `From` the child's",
    note = "a child that cannot fail: `group.spawn_value(work)`, or `async {{ Ok(work.await) }}`"
)]
pub trait ChildResult<E>: private::Sealed {}

impl<T, E> ChildResult<E> for Result<T, E> {}

mod private {
    pub trait Sealed {}
    impl<T> Sealed for T {}
}
