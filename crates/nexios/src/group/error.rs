use crate::cancel::Interrupted;

/// What the errors of a [`TaskGroup`](crate::TaskGroup) have to be: `From<Interrupted> + Send`.
///
/// A group tells its children and its caller in their own error type that they were interrupted: cancelled, or at the
/// deadline. So that type says what [`Interrupted`] is in it. This trait is there for all types that do; nobody writes
/// an `impl` of it. [`Interrupted`] itself, `anyhow::Error`, `Box<dyn Error + Send + Sync>`, [`std::io::Error`], [`String`] and
/// [`LazyError`](crate::LazyError) are such types already, and with the features `http` and `tonic` `http::StatusCode` and
/// `tonic::Status`.
///
/// # Examples
///
/// ```
/// use nexios::{GroupError, Interrupted, TaskGroup};
///
/// #[derive(Debug)]
/// enum AppError {
///     NotFound,
///     Interrupted(Interrupted),
/// }
/// impl From<Interrupted> for AppError {
///     fn from(interrupted: Interrupted) -> Self {
///         AppError::Interrupted(interrupted)
///     }
/// }
///
/// /// Works with the errors of any group.
/// fn spawn_two<E: GroupError + 'static>(group: &TaskGroup<'_, E>) {
///     group.spawn(async { Ok(1) });
///     group.spawn(async { Ok("two") });
/// }
/// spawn_two(&TaskGroup::<AppError>::new());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task group",
    label = "`{Self}` has no `From<nexios::Interrupted>`, or is not `Send`",
    note = "a group says in this type that its work was cancelled or ran into its deadline: write `impl From<nexios::Interrupted> for {Self}`",
    note = "if the error belongs to one child only, give the group the error of your application and spawn the child with `spawn_into`, or `spawn_named_into`"
)]
pub trait GroupError: From<Interrupted> + Send {}

#[diagnostic::do_not_recommend]
impl<E: From<Interrupted> + Send> GroupError for E {}
