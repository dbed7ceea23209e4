//! Why a service did not come to serve.

use std::{borrow::Cow, error::Error, fmt, io};

use super::hooks::BoxError;

/// Why a service did not come to serve.
///
/// Its text says the cause and, where there is one, what would be right; [`source`](Error::source) continues
/// after the cause, so that whoever prints the chain says nothing twice. `{:#}` is the chain in one line.
///
/// # Examples
///
/// A `main` that returns an [`io::Error`]:
///
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// nexios_axum::NexiosApp::new(axum::Router::new()).serve("127.0.0.1:8080").await?;
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::Router;
/// use nexios_axum::{NexiosApp, ServeError};
///
/// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let served = NexiosApp::new(Router::new()).serve(taken.local_addr()?).await;
/// assert!(matches!(served, Err(ServeError::Listen { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// A startup hook failed or panicked.
    Startup {
        /// The name of the hook.
        hook: Cow<'static, str>,
        /// What it said.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The system lets nobody listen for signals.
    Signals(io::Error),
}

impl ServeError {
    pub(super) fn startup(hook: Cow<'static, str>, cause: BoxError) -> Self {
        ServeError::Startup { hook, cause }
    }

    fn cause(&self) -> &(dyn Error + 'static) {
        match self {
            ServeError::Startup { cause, .. } => cause.as_ref(),
            ServeError::Listen { cause, .. } | ServeError::Signals(cause) => cause,
        }
    }
}

/// What to do about an address that cannot be listened on.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "; stop the process that has it, or take another port: 0 is any free one"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege, take one above",
        io::ErrorKind::AddrNotAvailable => {
            "; it is none of this machine's: 0.0.0.0 and [::] are all it has, 127.0.0.1 is for itself alone"
        }
        io::ErrorKind::InvalidInput => {
            "; write a host and a port, such as 127.0.0.1:8080 or [::1]:8080"
        }
        _ => "",
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Startup { hook, cause } => {
                write!(f, "startup hook {hook:?} failed: {cause}")?;
            }
            ServeError::Listen { address, cause } => {
                write!(f, "cannot listen on {address}: {cause}{}", advice(cause))?;
            }
            ServeError::Signals(cause) => write!(f, "cannot listen for signals: {cause}")?,
        }
        let mut next = self.source().filter(|_| f.alternate());
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source()
    }
}

impl From<ServeError> for io::Error {
    /// Of the kind that the system named, else [`io::ErrorKind::Other`].
    fn from(error: ServeError) -> Self {
        let kind = match &error {
            ServeError::Startup { cause, .. } => {
                cause.downcast_ref::<io::Error>().map(io::Error::kind)
            }
            ServeError::Listen { cause, .. } | ServeError::Signals(cause) => Some(cause.kind()),
        };
        io::Error::new(kind.unwrap_or(io::ErrorKind::Other), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the database is away")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    /// What anyhow's `{:#}` and others' reports print.
    fn chain(error: &(dyn Error + 'static)) -> String {
        let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
        causes
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }

    #[test]
    fn every_cause_is_said_once_however_it_is_printed() {
        let cause = Outer(io::Error::other("no route"));
        let error = ServeError::startup("open database".into(), cause.into());
        let text = "startup hook \"open database\" failed: the database is away: no route";
        assert_eq!(
            (format!("{error:#}").as_str(), chain(&error).as_str()),
            (text, text)
        );
        assert_eq!(
            error.to_string(),
            "startup hook \"open database\" failed: the database is away"
        );
        let busy = io::Error::from(io::ErrorKind::AddrInUse);
        let error = ServeError::Listen {
            address: "127.0.0.1:80".to_owned(),
            cause: busy,
        };
        let text = "cannot listen on 127.0.0.1:80: address in use; stop the process that has it, or take another port: 0 is any free one";
        assert_eq!(
            (format!("{error:#}").as_str(), chain(&error).as_str()),
            (text, text)
        );
    }

    #[test]
    fn as_an_error_of_input_and_output_it_keeps_its_kind_and_its_text() {
        let cause = io::Error::from(io::ErrorKind::AddrInUse);
        let error = io::Error::from(ServeError::Listen {
            address: "[::]:80".to_owned(),
            cause,
        });
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error
                .to_string()
                .starts_with("cannot listen on [::]:80: address in use")
        );
        let error = io::Error::from(ServeError::startup("warm up".into(), "cold".into()));
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                io::ErrorKind::Other,
                "startup hook \"warm up\" failed: cold"
            )
        );
    }
}
