//! The console: what every request, task, race, pool and lazy value of the service does right now.

use axum::Router;
use nexios_console::{Console, Secret};

/// Where the console is.
const PATH: &str = "/nexios";

/// Whom [`ConsoleAccess::Basic`] asks for.
const USER: &str = "newsroom";

/// Who may see the console and use its actions.
#[derive(Debug, Clone)]
pub enum ConsoleAccess {
    /// Nobody: there is none.
    Off,
    /// Whoever asks from this machine, the default.
    Loopback,
    /// Whoever knows the password of the user `newsroom`.
    Basic(Secret),
}

impl ConsoleAccess {
    /// Makes the console, which sees what is made from now on.
    pub(crate) fn console(&self) -> Option<Console> {
        let builder = Console::builder().service("newsroom").allow_actions();
        let builder = match self {
            ConsoleAccess::Off => return None,
            ConsoleAccess::Loopback => builder.loopback(),
            ConsoleAccess::Basic(secret) => builder.basic_auth(USER, secret.clone()),
        };
        Some(builder.build())
    }
}

/// Puts the console beside the other routes and outside of their layers: it has limits and an answer of its own for whoever
/// may not see it, and what it is asked while somebody looks does not fill the access log.
pub(crate) fn beside(app: Router, console: Option<&Console>) -> Router {
    match console {
        Some(console) => app.nest_service(PATH, console.router()),
        None => app,
    }
}
