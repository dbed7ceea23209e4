use std::{
    borrow::Cow,
    fmt,
    future::Future,
    mem,
    panic::{Location, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use pin_project_lite::pin_project;

use super::{
    cancellable::Cancellable,
    identity::{WorkId, WorkKind},
    observed::{New, Observed, Parent},
    outcome::{Outcome, Update},
};
use crate::{
    cancel::CancelToken,
    panics::{caught, text_of},
};

/// Work of one's own: a part of what runs here, made and started now.
///
/// Nothing is said, and nothing costs more than a look, if nobody observes.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::observe;
///
/// async fn render(page: u64) -> String {
///     let drawn = async { format!("page {page}") };
///     observe::custom("render").run(drawn).await
/// }
/// assert_eq!(render(7).await, "page 7");
/// # }
/// ```
#[track_caller]
pub fn custom(name: impl Into<Cow<'static, str>>) -> CustomWork {
    CustomWork::begin(
        WorkKind::Custom,
        Parent::Current,
        name,
        None,
        Location::caller(),
    )
}

/// The same for whoever serves requests: of the kind [`WorkKind::Request`], and nobody's part.
///
/// The name is the method and the route, such as `GET /users/{id}`, and never the path: it becomes a label.
///
/// ```
/// use nexios::observe::{self, Outcome};
///
/// let request = observe::request("GET /users/{id}");
/// let status = request.scope(|| 200);
/// request.end(if status < 500 { &Outcome::Completed } else { &Outcome::Failed(None) });
/// ```
#[track_caller]
pub fn request(name: impl Into<Cow<'static, str>>) -> CustomWork {
    CustomWork::begin(
        WorkKind::Request,
        Parent::Of(None),
        name,
        None,
        Location::caller(),
    )
}

/// The same for whoever runs background work: of the kind [`WorkKind::Background`], and nobody's part.
///
/// `owner` is the queue or the registry by name; `link` is the work that caused it, if that was in this process.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::observe;
///
/// async fn send(letters: &[&str]) -> usize {
///     letters.len()
/// }
/// let sent = observe::background("send newsletter", "jobs", observe::current()).run(send(&["Ada", "Grace"]));
/// assert_eq!(sent.await, 2);
/// # }
/// ```
#[track_caller]
pub fn background(
    name: impl Into<Cow<'static, str>>,
    owner: &str,
    link: Option<WorkId>,
) -> CustomWork {
    CustomWork::begin(
        WorkKind::Background,
        Parent::CausedBy(link),
        name,
        Some(owner),
        Location::caller(),
    )
}

/// A piece of work that ends when this is dropped: `Completed`, or `Panicked("")` while the thread panics.
///
/// # Examples
///
/// ```
/// use nexios::observe::{self, Outcome, Update};
///
/// let import = observe::custom("import");
/// for row in 1..=3 {
///     import.scope(|| { /* ... */ });
///     import.update(&Update::Progress { done: row, total: 3 });
/// }
/// import.end(&Outcome::Completed);
/// ```
#[must_use = "the work ends when this is dropped"]
pub struct CustomWork {
    work: Observed,
    cancellable: Option<Cancellable>,
}

impl CustomWork {
    fn begin(
        kind: WorkKind,
        parent: Parent,
        name: impl Into<Cow<'static, str>>,
        owner: Option<&str>,
        made_at: &'static Location<'static>,
    ) -> Self {
        let name = name.into();
        let new = || New {
            id: None,
            parent,
            kind,
            name: Some(&name),
            owner,
            made_at: Some(made_at),
        };
        let work = Observed::made(new);
        work.started();
        Self {
            work,
            cancellable: None,
        }
    }

    /// Its number; `None` if nobody observed when it was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use nexios::observe::{self, Observer};
    ///
    /// struct Anybody;
    /// impl Observer for Anybody {}
    ///
    /// assert_eq!(observe::custom("import").id(), None);
    /// let _observing = observe::observe(Arc::new(Anybody));
    /// assert!(observe::custom("import").id().is_some());
    /// ```
    #[must_use]
    pub fn id(&self) -> Option<WorkId> {
        self.work.id()
    }

    /// Lets [`observe::cancel`](crate::observe::cancel) fire this token, with [`Requested`](crate::CancelReason::Requested), as
    /// long as the work lives: for whoever runs it and looks at the token.
    ///
    /// ```
    /// use nexios::{CancelReason, CancelToken, observe};
    ///
    /// # struct Nobody;
    /// # impl observe::Observer for Nobody {}
    /// # let _observing = observe::observe(std::sync::Arc::new(Nobody));
    /// let token = CancelToken::new();
    /// let import = observe::background("import", "imports", None).cancellable(&token);
    /// // What an operator presses.
    /// assert!(import.id().is_some_and(observe::cancel));
    /// assert_eq!(token.reason(), Some(CancelReason::Requested));
    /// ```
    pub fn cancellable(mut self, token: &CancelToken) -> Self {
        // The one before it first: both are under the same number.
        self.cancellable = None;
        self.cancellable = self.id().map(|id| Cancellable::new(id, token.clone()));
        self
    }

    /// Calls `f`; what is made there is part of this work. For a `poll` written by hand, and for code that waits for nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use nexios::observe::{self, Observer};
    ///
    /// # struct Anybody;
    /// # impl Observer for Anybody {}
    /// # let _observing = observe::observe(Arc::new(Anybody));
    /// let import = observe::custom("import");
    /// assert_eq!(import.scope(observe::current), import.id());
    /// assert_eq!(observe::current(), None);
    /// ```
    ///
    /// # Panics
    ///
    /// With what `f` panics with.
    pub fn scope<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.work.enter_blocking();
        f()
    }

    /// Calls `poll` as [`scope`](Self::scope) does, and says [`SlowPoll`](Update::SlowPoll) if it takes as long: for a future
    /// that is polled by hand.
    ///
    /// ```
    /// use std::{future::{Future, poll_fn}, pin::pin};
    ///
    /// use nexios::observe::{self, Outcome};
    ///
    /// # #[tokio::main]
    /// # async fn main() {
    /// let import = observe::custom("import");
    /// let mut rows = pin!(async { 7 });
    /// let count = poll_fn(|cx| import.poll(|| rows.as_mut().poll(cx))).await;
    /// import.end(if count > 0 { &Outcome::Completed } else { &Outcome::Failed(Some("no rows")) });
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// With what `poll` panics with.
    pub fn poll<R>(&self, poll: impl FnOnce() -> R) -> R {
        let _entered = self.work.enter();
        poll()
    }

    /// Polls the future as this work and ends with it: `Completed`, `Panicked` with its text, `Cancelled(OwnerDropped)` if it
    /// is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::observe;
    ///
    /// # struct Anybody;
    /// # impl observe::Observer for Anybody {}
    /// # let _observing = observe::observe(std::sync::Arc::new(Anybody));
    /// let import = observe::custom("import");
    /// let id = import.id();
    /// assert_eq!(import.run(async { observe::current() }).await, id);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// With what the future panics with.
    ///
    /// # Cancel safety
    ///
    /// As safe as the future.
    pub fn run<F: Future>(mut self, future: F) -> impl Future<Output = F::Output> {
        Running {
            future,
            work: mem::replace(&mut self.work, Observed::UNSEEN),
            _cancellable: self.cancellable.take(),
        }
    }

    /// Says what happens to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, mpsc};
    /// use nexios::observe::{self, Observer, Update, WorkId};
    ///
    /// struct Messages(mpsc::Sender<String>);
    /// impl Observer for Messages {
    ///     fn updated(&self, _: WorkId, update: &Update<'_>) {
    ///         if let Update::Message(text) = update {
    ///             let _ = self.0.send((*text).to_owned());
    ///         }
    ///     }
    /// }
    ///
    /// let (messages, heard) = mpsc::channel();
    /// let _observing = observe::observe(Arc::new(Messages(messages)));
    /// observe::custom("import").update(&Update::Message("reads users.csv"));
    /// assert_eq!(heard.recv().as_deref(), Ok("reads users.csv"));
    /// ```
    pub fn update(&self, update: &Update<'_>) {
        self.work.updated(update);
    }

    /// Ends it with an outcome that only the caller knows.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, mpsc};
    /// use nexios::observe::{self, Observer, Outcome, WorkId};
    ///
    /// struct Ends(mpsc::Sender<&'static str>);
    /// impl Observer for Ends {
    ///     fn ended(&self, _: WorkId, outcome: &Outcome<'_>) {
    ///         let _ = self.0.send(outcome.as_str());
    ///     }
    /// }
    ///
    /// let (ends, heard) = mpsc::channel();
    /// let _observing = observe::observe(Arc::new(Ends(ends)));
    /// observe::custom("import").end(&Outcome::Failed(Some("no such file")));
    /// assert_eq!(heard.recv(), Ok("failed"));
    /// ```
    pub fn end(mut self, outcome: &Outcome<'_>) {
        self.work.end(outcome);
    }
}

pin_project! {
    /// The future goes before its work, which ends when all that was made of it is gone.
    struct Running<F> {
        #[pin]
        future: F,
        work: Observed,
        _cancellable: Option<Cancellable>,
    }
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let entered = this.work.enter();
        let polled = caught(|| this.future.poll(cx));
        drop(entered);
        let outcome = match &polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(_)) => Outcome::Completed,
            Err(payload) => Outcome::Panicked(text_of(&**payload)),
        };
        this.work.end(&outcome);
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

impl fmt::Debug for CustomWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomWork")
            .field("id", &self.id())
            .finish()
    }
}

impl Drop for CustomWork {
    #[inline]
    fn drop(&mut self) {
        if self.work.id().is_none() {
            return;
        }
        self.work.end(if thread::panicking() {
            &Outcome::Panicked("")
        } else {
            &Outcome::Completed
        });
    }
}
