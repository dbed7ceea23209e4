//! Programs that must not compile, each beside a twin that does and differs in one line: so it is that line which
//! the compiler refuses, and not a spelling mistake.

/// A child borrows from something that goes before the group does.
///
/// ```compile_fail,E0597
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let text = String::from("gone first");
/// group.spawn(async {
///     Ok(text.len())
/// });
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let text = String::from("gone first");
/// group.spawn(async move {
///     Ok(text.len())
/// });
/// ```
mod a_child_outlives_what_it_borrows {}

/// A child borrows the group that owns it.
///
/// ```compile_fail,E0597
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let siblings = &group;
/// group.spawn(async move {
///     siblings.spawn(async { Ok(1) }).await
/// });
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let siblings = group.spawner();
/// group.spawn(async move {
///     siblings.spawn(async { Ok(1) }).await
/// });
/// ```
mod a_child_borrows_its_own_group {}

/// A child on the worker threads borrows from the caller.
///
/// ```compile_fail,E0597
/// use nexios::{Interrupted, TaskGroup};
///
/// async fn length() -> Result<usize, Interrupted> {
///     let text = String::from("the caller's");
///     let mine = &text;
///     let group = TaskGroup::new();
///     group.spawn_parallel(async move { Ok(mine.len()) }).await
/// }
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// async fn length() -> Result<usize, Interrupted> {
///     let text = String::from("the caller's");
///     let mine = text.clone();
///     let group = TaskGroup::new();
///     group.spawn_parallel(async move { Ok(mine.len()) }).await
/// }
/// ```
mod a_parallel_child_borrows {}

/// A child cannot be handed to another thread, though whoever drives may be on one.
///
/// ```compile_fail,E0277
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let shared = std::rc::Rc::new(1);
/// group.spawn(async move {
///     std::future::ready(()).await;
///     Ok(*shared)
/// });
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let shared = std::sync::Arc::new(1);
/// group.spawn(async move {
///     std::future::ready(()).await;
///     Ok(*shared)
/// });
/// ```
mod a_child_is_not_send {}

/// A handle keeps what its child borrows borrowed (TG-051).
///
/// ```compile_fail,E0505
/// use nexios::{Interrupted, TaskGroup};
///
/// let text = String::from("borrowed");
/// let group = TaskGroup::<Interrupted>::new();
/// let task = group.spawn(async { Ok(text.len()) });
/// drop(text);
/// drop((task, group));
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// let text = String::from("borrowed");
/// let group = TaskGroup::<Interrupted>::new();
/// let task = group.spawn(async { Ok(text.len()) });
/// drop(text.clone());
/// drop((task, group));
/// ```
mod a_child_loses_what_it_borrows {}

/// R8: candidates of a race are a list; a tuple starts nothing.
///
/// ```compile_fail,E0277
/// use nexios::{Candidate, run_until_first_complete};
///
/// let one = Candidate::new("one", async { Ok::<_, ()>(1) });
/// let two = Candidate::new("two", async { Ok(2) });
/// let race = run_until_first_complete((one, two));
/// ```
///
/// ```
/// use nexios::{Candidate, run_until_first_complete};
///
/// let one = Candidate::new("one", async { Ok::<_, ()>(1) });
/// let two = Candidate::new("two", async { Ok(2) });
/// let race = run_until_first_complete([one, two]);
/// ```
mod candidates_are_a_tuple {}

/// The error of a group does not say what an interruption is in it.
///
/// ```compile_fail,E0277
/// use nexios::{Interrupted, TaskGroup};
///
/// struct AppError;
/// impl From<Box<Interrupted>> for AppError {
///     fn from(_: Box<Interrupted>) -> Self {
///         Self
///     }
/// }
/// let group = TaskGroup::<AppError>::new();
/// ```
///
/// ```
/// use nexios::{Interrupted, TaskGroup};
///
/// struct AppError;
/// impl From<Interrupted> for AppError {
///     fn from(_: Interrupted) -> Self {
///         Self
///     }
/// }
/// let group = TaskGroup::<AppError>::new();
/// ```
mod an_error_knows_no_interruption {}

/// A child with an error of its own is spawned as one with the group's.
///
/// ```compile_fail,E0277
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::<anyhow::Error>::new();
/// group.spawn(async { "80".parse::<u16>() });
/// ```
///
/// ```
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::<anyhow::Error>::new();
/// group.spawn_into(async { "80".parse::<u16>() });
/// ```
mod a_child_has_another_error {}

/// A child that returns a plain value is spawned as one that can fail.
///
/// ```compile_fail,E0277
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::infallible();
/// group.spawn(async { "a page" });
/// ```
///
/// ```
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::infallible();
/// group.spawn_value(async { "a page" });
/// ```
mod a_child_returns_a_plain_value {}

/// Nothing says what the error of a group is.
///
/// ```compile_fail,E0283
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::new();
/// group.spawn_value(async { "a page" });
/// ```
///
/// ```
/// use nexios::TaskGroup;
///
/// let group = TaskGroup::infallible();
/// group.spawn_value(async { "a page" });
/// ```
mod a_group_without_an_error {}

/// A computation takes for itself what the next one needs.
///
/// ```compile_fail,E0507
/// use std::sync::Arc;
///
/// use nexios::AsyncLazy;
///
/// let path = Arc::new(String::from("settings.json"));
/// let settings = AsyncLazy::<_, std::io::Error>::new(move || {
///     async move { Ok(path.len()) }
/// });
/// ```
///
/// ```
/// use std::sync::Arc;
///
/// use nexios::AsyncLazy;
///
/// let path = Arc::new(String::from("settings.json"));
/// let settings = AsyncLazy::<_, std::io::Error>::new(move || {
///     let path = path.clone();
///     async move { Ok(path.len()) }
/// });
/// ```
mod a_computation_takes_what_the_next_one_needs {}
