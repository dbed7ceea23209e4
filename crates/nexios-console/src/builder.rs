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
///
/// # Examples
///
/// ```
/// use nexios_console::{Console, ConsoleBuilder, NoAccess};
///
/// /// What all services of ours have in common; who may see it is for each to say.
/// fn ours() -> ConsoleBuilder<NoAccess> {
///     Console::builder().memory(4 * 1024 * 1024)
/// }
/// let console = ours().service("checkout").loopback().build();
/// # drop(console);
/// ```
#[derive(Debug)]
pub struct NoAccess;

/// It is known who may see the page.
///
/// # Examples
///
/// ```
/// use nexios_console::{Chosen, Console, ConsoleBuilder};
///
/// fn guarded(secret: Option<String>) -> ConsoleBuilder<Chosen> {
///     match secret {
///         Some(secret) => Console::builder().basic_auth("ops", secret),
///         None => Console::builder().loopback(), // at home
///     }
/// }
/// let console = guarded(None).allow_actions().build();
/// # drop(console);
/// ```
#[derive(Debug)]
pub struct Chosen(Way);

/// Builds a [`Console`]: [`Console::builder`].
///
/// # Examples
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
/// # drop(console);
/// ```
#[must_use = "a console is there after `build`"]
pub struct ConsoleBuilder<A> {
    access: A,
    settings: Settings,
}

impl Console {
    /// Begins a console. Who may see it has to be said.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_console::Console;
    ///
    /// let console = Console::builder().service("checkout").loopback().build();
    /// # drop(console);
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let page = Console::builder().loopback().build().router();
    /// let ask = |host| Request::get("/").header("host", host).body(Body::empty());
    /// assert_eq!(page.clone().oneshot(ask("localhost:8080")?).await?.status(), 200);
    /// assert_eq!(page.oneshot(ask("shop.example")?).await?.status(), 403); // a name of somebody else's for this machine
    /// # Ok(())
    /// # }
    /// ```
    pub fn loopback(self) -> ConsoleBuilder<Chosen> {
        self.choose(Way::Loopback)
    }

    /// Asks for this user and secret, which browsers do with a window of their own. Grants [`Access::Act`].
    ///
    /// They are sent with each request, so it belongs behind TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let page = Console::builder().basic_auth("ops", "s3cret").build().router();
    /// let nameless = page.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
    /// assert_eq!(nameless.status(), 401); // a browser asks for them now
    /// let ops = Request::get("/").header("authorization", "Basic b3BzOnMzY3JldA==").body(Body::empty())?;
    /// assert_eq!(page.oneshot(ops).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let console = Console::builder().bearer("t0ken").build();
    /// let scrape = Request::get("/api/v1/status").header("authorization", "Bearer t0ken").body(Body::empty())?;
    /// assert_eq!(console.router().oneshot(scrape).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::{Request, request::Parts}};
    /// use nexios_console::{Access, Console};
    /// use tower::ServiceExt;
    ///
    /// #[derive(Clone)]
    /// struct User { is_admin: bool }
    ///
    /// // What a layer of the app has put into the request.
    /// let rule = |parts: &Parts| match parts.extensions.get::<User>() {
    ///     Some(user) if user.is_admin => Access::Act,
    ///     Some(_) => Access::View,
    ///     None => Access::Forbidden,
    /// };
    /// let page = Console::builder().access(rule).build().router();
    /// let ask = || Request::get("/");
    /// assert_eq!(page.clone().oneshot(ask().body(Body::empty())?).await?.status(), 403);
    /// let known = ask().extension(User { is_admin: false }).body(Body::empty())?;
    /// assert_eq!(page.oneshot(known).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn access(
        self,
        rule: impl Fn(&Parts) -> Access + Send + Sync + 'static,
    ) -> ConsoleBuilder<Chosen> {
        self.choose(Way::Rule(Arc::new(rule)))
    }

    /// Lets everybody see names and numbers who can reach it. Grants [`Access::View`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let page = Console::builder().dangerously_public().build().router(); // in a network of our own
    /// assert_eq!(page.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::{Body, to_bytes}, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let page = Console::builder().service("checkout").dangerously_public().build().router();
    /// let response = page.oneshot(Request::get("/").body(Body::empty())?).await?;
    /// let html = to_bytes(response.into_body(), usize::MAX).await?;
    /// assert!(String::from_utf8_lossy(&html).contains("checkout"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.settings.service = Some(name.into());
        self
    }

    /// Lets those who may [`Act`](Access::Act) cancel tasks, cancel and retry jobs, and reset and refresh lazy values. Default:
    /// nobody.
    ///
    /// Each attempt of who is let in is logged as `nexios::audit`, with who, what and the result; one that another site asks a
    /// visitor's browser for, too.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let act = || Request::post("/actions/cancel/7").header("authorization", "Bearer t0ken").body(Body::empty());
    /// let looks = Console::builder().bearer("t0ken").build();
    /// assert_eq!(looks.router().oneshot(act()?).await?.status(), 403);
    /// let acts = Console::builder().bearer("t0ken").allow_actions().build();
    /// assert_eq!(acts.router().oneshot(act()?).await?.status(), 404); // allowed, and nothing has this number
    /// # Ok(())
    /// # }
    /// ```
    pub fn allow_actions(mut self) -> Self {
        self.settings.actions = true;
        self
    }

    /// How many bytes what was observed may take, about. Default: 8 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_console::Console;
    ///
    /// // A small machine.
    /// let console = Console::builder().loopback().memory(1024 * 1024).build();
    /// # drop(console);
    /// ```
    pub fn memory(mut self, bytes: usize) -> Self {
        self.settings.memory = bytes;
        self
    }

    /// Whose phase the header shows, and after whom the console's own listener closes. Default: the service that the
    /// console is nested in, if that is a `NexiosApp`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    /// use nexios_console::Console;
    ///
    /// let app = NexiosApp::new(Router::new()).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let console = Console::builder().loopback().app(&handle).build();
    /// let console = tokio::spawn(console.serve("127.0.0.1:0")); // or "127.0.0.1:9090"
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// handle.stop();
    /// service.await??;
    /// console.await??; // ends after it
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "app")]
    pub fn app(mut self, handle: &AppHandle) -> Self {
        self.settings.app = Some(handle.clone());
        self
    }
}

impl ConsoleBuilder<Chosen> {
    /// Builds it, and begins to observe.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::{Body, to_bytes}, http::Request};
    /// use nexios::observe;
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let console = Console::builder().dangerously_public().build(); // what begins from now on is seen
    /// let export = observe::custom("export");
    /// let response = console.router().oneshot(Request::get("/api/v1/running").body(Body::empty())?).await?;
    /// let json = to_bytes(response.into_body(), usize::MAX).await?;
    /// assert!(String::from_utf8_lossy(&json).contains("export"));
    /// # drop(export);
    /// # Ok(())
    /// # }
    /// ```
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
