//! Errors of any kind, as `?` meets them: `anyhow::Error`, `Box<dyn Error>`.

use std::{error::Error, io};

use axum::BoxError;
use nexios::{BackgroundFailure, Interrupted, PoolError};

use super::Problem;

/// What the error is to a client: that of the first of its causes which is known here, else a fault of our own. Logged is
/// the whole chain.
fn of_chain(error: &(dyn Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(known).unwrap_or_else(|| {
        let mut text = error.to_string();
        for cause in std::iter::successors(error.source(), |&error| error.source()) {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        Problem::internal(&text)
    })
}

fn known(cause: &(dyn Error + 'static)) -> Option<Problem> {
    let problem = cause.downcast_ref::<Problem>().cloned();
    problem
        .or_else(|| Some(Problem::from(*cause.downcast_ref::<Interrupted>()?)))
        .or_else(|| Some(Problem::from(*cause.downcast_ref::<PoolError>()?)))
        .or_else(|| Some(Problem::from(*cause.downcast_ref::<BackgroundFailure>()?)))
        // Which names as its source not the error that is in it, but that one's.
        .or_else(|| known(cause.downcast_ref::<io::Error>()?.get_ref()?))
}

/// A [`Problem`], an [`Interrupted`], a [`PoolError`] or a [`BackgroundFailure`] among the causes is what it would be
/// alone; all else is 500, and the chain of causes is logged.
#[cfg(feature = "anyhow")]
#[cfg_attr(docsrs, doc(cfg(feature = "anyhow")))]
impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        // Below a context, which the chain of causes does not show.
        match error.downcast::<Problem>() {
            Ok(problem) => problem,
            Err(error) => of_chain(error.as_ref()),
        }
    }
}

/// A [`Problem`], an [`Interrupted`], a [`PoolError`] or a [`BackgroundFailure`] among the causes is what it would be
/// alone; all else is 500, and the chain of causes is logged.
impl From<BoxError> for Problem {
    fn from(error: BoxError) -> Self {
        of_chain(&*error)
    }
}

/// Makes any error a fault of our own, for `?` in a handler: the client is told an id, the log has the causes.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios_axum::{OrInternal, Problem};
///
/// async fn settings() -> Result<serde_json::Value, Problem> {
///     let text = tokio::fs::read("no such file.json").await.or_internal()?;
///     serde_json::from_slice(&text).or_internal()
/// }
///
/// let problem = settings().await.unwrap_err();
/// assert_eq!(problem.status(), 500);
/// assert!(!problem.to_string().contains("no such file")); // only the log knows
/// # Ok(())
/// # }
/// ```
pub trait OrInternal<T> {
    /// Turns an error into a 500 with an id, and logs it with its causes; if among these there is a [`Problem`], an
    /// [`Interrupted`], a [`PoolError`] or a [`BackgroundFailure`], it is what that would be alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::BoxError;
    /// use nexios_axum::{OrInternal, Problem};
    ///
    /// fn count(text: &str) -> Result<u64, BoxError> {
    ///     if text.is_empty() {
    ///         return Err(Problem::bad_request("Say how many.").into());
    ///     }
    ///     Ok(text.parse()?)
    /// }
    ///
    /// assert_eq!(count("7").or_internal()?, 7);
    /// assert_eq!(count("seven").or_internal().unwrap_err().status(), 500);
    /// assert_eq!(count("").or_internal().unwrap_err().status(), 400); // it stays what it was
    /// # Ok::<_, Problem>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there was one.
    fn or_internal(self) -> Result<T, Problem>;
}

impl<T, E: Into<BoxError>> OrInternal<T> for Result<T, E> {
    fn or_internal(self) -> Result<T, Problem> {
        self.map_err(|error| Problem::from(error.into()))
    }
}
