//! Who it is, where only the app knows.

use std::fmt;

/// Bytes of a name; a line of the log is no place for more.
const LONGEST: usize = 120;

/// Who sent a request, for the audit log: a layer of the app puts it into the request, as it knows who is logged in.
///
/// Without it the log names the way of access: the user of basic authentication, `bearer`, `loopback`, or `rule` for
/// [`access`](crate::ConsoleBuilder::access). A name is cut to 120 bytes, and has no line breaks or other control
/// characters, so that nobody can write a line of the log by their name.
///
/// # Examples
///
/// ```
/// use axum::{Router, extract::Request, http::request::Parts, middleware::{Next, from_fn}, response::Response};
/// use nexios_console::{Access, Console, Who};
///
/// # #[derive(Clone)]
/// # struct User { name: String, is_admin: bool }
/// # fn session_of(_: &Request) -> Option<User> { None }
/// // A layer around the console, which knows the app's own sessions.
/// async fn log_in(mut request: Request, next: Next) -> Response {
///     if let Some(user) = session_of(&request) {
///         request.extensions_mut().insert(Who::new(&user.name));
///         request.extensions_mut().insert(user);
///     }
///     next.run(request).await
/// }
///
/// let rule = |parts: &Parts| match parts.extensions.get::<User>() {
///     Some(user) if user.is_admin => Access::Act,
///     Some(_) => Access::View,
///     None => Access::Forbidden,
/// };
/// let console = Console::builder().access(rule).allow_actions().build();
/// let app: Router = Router::new().nest_service("/nexios", console.router().layer(from_fn(log_in)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who(Box<str>);

impl Who {
    /// By name, as the log shows it.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_console::Who;
    ///
    /// assert_eq!(Who::new("ada").to_string(), "ada");
    /// assert_eq!(Who::new("ada\nlevel=ERROR").to_string(), "ada level=ERROR"); // one line of the log
    /// ```
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        let mut kept = String::new();
        for char in name.as_ref().chars() {
            if kept.len() + char.len_utf8() > LONGEST {
                break;
            }
            kept.push(if char.is_control() { ' ' } else { char });
        }
        Self(kept.into())
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_bounded_length() {
        assert_eq!(Who::new("ada\nroot\u{1b}[31m").to_string(), "ada root [31m");
        assert_eq!(Who::new("ä".repeat(1_000)).to_string().len(), LONGEST);
    }
}
