use std::{fmt, sync::Arc};

use axum::http::request::Parts;
#[cfg(feature = "app")]
use nexios_axum::AppHandle;

use crate::{
    access::{Access, Secret, Way},
    console::Console,
    settings::Settings,
};

/// No way of access was chosen yet: there is no `build`.
#[derive(Debug)]
pub struct NoAccess;

/// It is known who may see the page.
#[derive(Debug)]
pub struct Chosen(Way);

/// Builds a [`Console`]: [`Console::builder`].
///
/// A way of access has to be chosen; without one there is no [`build`](ConsoleBuilder::build):
///
/// ```compile_fail,E0599
/// use nexios_console::Console;
///
/// let console = Console::builder().service("checkout").build();
/// ```
///
/// ```
/// use nexios_console::Console;
///
/// let console = Console::builder().service("checkout").loopback().allow_actions().build();
/// ```
#[must_use = "a console is there after `build`"]
pub struct ConsoleBuilder<A> {
    access: A,
    settings: Settings,
}

impl Console {
    /// Begins a console. Who may see it has to be said.
    pub fn builder() -> ConsoleBuilder<NoAccess> {
        ConsoleBuilder {
            access: NoAccess,
            settings: Settings::default(),
        }
    }
}

impl ConsoleBuilder<NoAccess> {
    /// For this machine only, as in development. Grants [`Access::Act`].
    ///
    /// `Host` is `localhost`, `127.0.0.1` or `[::1]` with any port; neither `Forwarded` nor `X-Forwarded-*` is there; and the
    /// peer is this machine, where the service tells it: `NexiosApp` and [`Console::serve`] do, `axum::serve` does with
    /// `into_make_service_with_connect_info`. Anything else is answered with 403.
    pub fn loopback(self) -> ConsoleBuilder<Chosen> {
        self.choose(Way::Loopback)
    }

    /// Asks for this user and secret, which browsers do with a window of their own. Grants [`Access::Act`].
    ///
    /// They are sent with each request, so it belongs behind TLS.
    ///
    /// # Panics
    ///
    /// Panics if the secret is empty, or if there is a colon in the user's name, which cannot be sent.
    #[track_caller]
    pub fn basic_auth(
        self,
        user: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> ConsoleBuilder<Chosen> {
        let (user, secret) = (user.into(), secret.into());
        assert!(
            !secret.is_empty(),
            "basic_auth({user:?}, ..): the secret is empty"
        );
        assert!(
            !user.contains(':'),
            "basic_auth({user:?}, ..): a colon ends the user's name"
        );
        self.choose(Way::basic(user, secret))
    }

    /// Asks for this token in `Authorization`. Grants [`Access::Act`].
    ///
    /// It is for the API and the metrics: page loads and event streams of browsers send no such header.
    ///
    /// # Panics
    ///
    /// Panics if the secret is empty.
    #[track_caller]
    pub fn bearer(self, secret: impl Into<Secret>) -> ConsoleBuilder<Chosen> {
        let secret = secret.into();
        assert!(!secret.is_empty(), "bearer(..): the secret is empty");
        self.choose(Way::Bearer(secret))
    }

    /// Asks the app's own rule about each request. It is called before anything else and should not wait.
    ///
    /// A page that stays open is asked for again every 15 s, with the request that opened it: a rule that looks at the app's
    /// sessions, and not only at what a layer once put there, can take its answer back. For the audit log that layer may say
    /// [`Who`](crate::Who) it is.
    ///
    /// ```
    /// use axum::http::request::Parts;
    /// use nexios_console::{Access, Console};
    ///
    /// # #[derive(Clone)]
    /// # struct User { is_admin: bool }
    /// // What a layer of the app has put into the request.
    /// let rule = |parts: &Parts| match parts.extensions.get::<User>() {
    ///     Some(user) if user.is_admin => Access::Act,
    ///     Some(_) => Access::View,
    ///     None => Access::Forbidden,
    /// };
    /// let console = Console::builder().access(rule).build();
    /// ```
    pub fn access(
        self,
        rule: impl Fn(&Parts) -> Access + Send + Sync + 'static,
    ) -> ConsoleBuilder<Chosen> {
        self.choose(Way::Rule(Arc::new(rule)))
    }

    /// Lets everybody see names and numbers who can reach it. Grants [`Access::View`].
    pub fn dangerously_public(self) -> ConsoleBuilder<Chosen> {
        self.choose(Way::Public)
    }

    fn choose(self, way: Way) -> ConsoleBuilder<Chosen> {
        ConsoleBuilder {
            access: Chosen(way),
            settings: self.settings,
        }
    }
}

impl<A> ConsoleBuilder<A> {
    /// The name in the header. Default: the name of the executable.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.settings.service = Some(name.into());
        self
    }

    /// Lets those who may [`Act`](Access::Act) cancel tasks, cancel and retry jobs, and reset and refresh lazy values. Default:
    /// nobody.
    ///
    /// Each attempt of who is let in is logged as `nexios::audit`, with who, what and the result; one that another site asks a
    /// visitor's browser for, too.
    pub fn allow_actions(mut self) -> Self {
        self.settings.actions = true;
        self
    }

    /// How many bytes what was observed may take, about. Default: 8 MiB.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.settings.memory = bytes;
        self
    }

    /// Whose phase the header shows, and after whom the console's own listener closes. Default: the service that the
    /// console is nested in, if that is a `NexiosApp`.
    #[cfg(feature = "app")]
    pub fn app(mut self, handle: &AppHandle) -> Self {
        self.settings.app = Some(handle.clone());
        self
    }
}

impl ConsoleBuilder<Chosen> {
    /// Builds it, and begins to observe.
    #[must_use = "it observes until it is dropped"]
    pub fn build(self) -> Console {
        let Chosen(way) = self.access;
        Console::new(way, self.settings)
    }
}

impl<A: fmt::Debug> fmt::Debug for ConsoleBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleBuilder")
            .field("access", &self.access)
            .field("service", &self.settings.service)
            .field("actions", &self.settings.actions)
            .field("memory", &self.settings.memory)
            .finish_non_exhaustive()
    }
}
