use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use crate::{
    engine::{Engine, changes::Listener as ChangeListener},
    error::JobsError,
    lock::lock,
    log::{bury, caught, log, text_of},
};

/// The least time between two looks at a store that changes all the time.
const PACE: Duration = Duration::from_millis(20);

/// How often a listener looks by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

type Callback = Box<dyn Fn() + Send + Sync>;

/// A listener; dropping this does not end it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios_jobs::Jobs;
///
/// let jobs = Jobs::memory();
/// let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
/// let reload = jobs.on_signal("configuration changed", move || drop(told.send("reload"))).await?;
/// reload.send().await?; // the same as jobs.signal("configuration changed"), in any process
/// assert_eq!(heard.recv().await, Some("reload"));
/// reload.stop();
/// # Ok(())
/// # }
/// ```
pub struct Signal {
    engine: Arc<dyn Engine>,
    name: Cow<'static, str>,
    ear: Arc<Ear>,
}

/// What the handle and the task of a listener share.
struct Ear {
    callback: Callback,
    stopped: AtomicBool,
    /// Wakes the task when it is stopped.
    stop: Notify,
    /// Held while the callback is called, by this thread.
    calling: Mutex<()>,
    caller: Mutex<Option<ThreadId>>,
}

impl Signal {
    pub(crate) async fn listen(
        engine: Arc<dyn Engine>,
        name: Cow<'static, str>,
        callback: Callback,
    ) -> Result<Self, JobsError> {
        // Before the look: it hears of every change after it.
        let changes = engine.changes().listen();
        let heard = engine.signal_count(name.clone()).await?;
        let ear = Arc::new(Ear {
            callback,
            stopped: AtomicBool::new(false),
            stop: Notify::new(),
            calling: Mutex::default(),
            caller: Mutex::default(),
        });
        tokio::spawn(hear(
            engine.clone(),
            name.clone(),
            ear.clone(),
            changes,
            heard,
        ));
        Ok(Self { engine, name, ear })
    }

    /// The name that it listens for.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_jobs::Jobs;
    ///
    /// let listener = Jobs::memory().on_signal("prices changed", || ()).await?;
    /// assert_eq!(listener.name(), "prices changed");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls every listener of this name in every process, as [`Jobs::signal`](crate::Jobs::signal).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use nexios_jobs::Jobs;
    /// use tokio::sync::Notify;
    ///
    /// let reload = Arc::new(Notify::new());
    /// let told = reload.clone();
    /// let listener = Jobs::memory().on_signal("prices changed", move || told.notify_one()).await?;
    /// listener.send().await?;
    /// reload.notified().await; // here, and in every other process that listens
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the signal may be sent or not.
    pub async fn send(&self) -> Result<(), JobsError> {
        self.engine.signal(self.name.clone()).await
    }

    /// Ends the listener. No call begins after this has returned: it waits, and holds its thread, for one that goes on,
    /// unless that is where it is called.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::{Arc, atomic::{AtomicU32, Ordering}}, time::Duration};
    /// use nexios_jobs::Jobs;
    ///
    /// let jobs = Jobs::memory();
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let counted = calls.clone();
    /// let listener = jobs.on_signal("reload", move || { counted.fetch_add(1, Ordering::Relaxed); }).await?;
    /// listener.stop();
    /// jobs.signal("reload").await?;
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// assert_eq!(calls.load(Ordering::Relaxed), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(self) {
        // SeqCst, as in `call`: it is told before we look whether a call goes on.
        self.ear.stopped.store(true, Ordering::SeqCst);
        self.ear.stop.notify_one();
        let here = Some(thread::current().id());
        if *lock(&self.ear.caller) != here {
            drop(lock(&self.ear.calling));
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Ear {
    fn call(&self, name: &str) {
        let calling = lock(&self.calling);
        if self.stopped.load(Ordering::SeqCst) {
            return;
        }
        *lock(&self.caller) = Some(thread::current().id());
        let called = caught(|| (self.callback)());
        *lock(&self.caller) = None;
        drop(calling);
        if let Err(payload) = called {
            let panic = text_of(&*payload);
            log(|| tracing::error!(signal = name, panic, "the listener of a signal panicked"));
            bury(payload);
        }
    }
}

/// The task of a listener.
async fn hear(
    engine: Arc<dyn Engine>,
    name: Cow<'static, str>,
    ear: Arc<Ear>,
    mut changes: ChangeListener,
    mut heard: i64,
) {
    let mut lost = false;
    loop {
        tokio::select! {
            () = ear.stop.notified() => {}
            () = changes.changed() => sleep(PACE).await,
            () = sleep(LOOK_AGAIN) => {}
        }
        if ear.stopped.load(Ordering::SeqCst) {
            return;
        }
        match engine.signal_count(name.clone()).await {
            Ok(count) => {
                if std::mem::replace(&mut heard, count) != count || std::mem::take(&mut lost) {
                    ear.call(&name);
                }
            }
            Err(_) => {
                lost = true;
                sleep(PACE * 10).await;
            }
        }
    }
}
