use std::{borrow::Cow, time::Duration};

/// The value that won a race, and how.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), nexios::RaceError<()>> {
/// use std::{future::pending, time::Duration};
/// use nexios::{Candidate, run_until_first_complete};
///
/// let winner = run_until_first_complete([
///     Candidate::new("primary", pending()),
///     Candidate::new("backup", async { Ok("page") }).after(Duration::from_millis(50)),
/// ])
/// .winner()
/// .await?;
/// assert_eq!((winner.value, &*winner.name, winner.index), ("page", "backup", 1));
/// assert_eq!((winner.started, winner.elapsed.as_millis()), (2, 50));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Winner<T> {
    /// What the winner returned.
    pub value: T,
    /// The winner's name.
    pub name: Cow<'static, str>,
    /// The winner's place in the list, from zero.
    pub index: usize,
    /// From the race's first poll to its end.
    pub elapsed: Duration,
    /// How many candidates were polled at least once, the winner among them.
    pub started: usize,
}
