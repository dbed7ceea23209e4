//! The services under test.

#[path = "../real_code/services/graceful_shutdown.rs"]
#[allow(dead_code, reason = "its `main`")]
mod graceful_shutdown;

use std::{
    fmt::Write as _, future::pending, io::Write as _, process::ExitCode, sync::Mutex, thread,
    time::Duration,
};

use axum::{
    Router,
    extract::ws::WebSocketUpgrade,
    response::{Sse, sse::Event},
    routing::get,
};
use futures_util::stream;
use nexios::{Background, run_in_threadpool};
use nexios_axum::{NexiosApp, RequestLayer, ServiceLife};

const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Nothing here waits longer than this; in all 1.5 s: 100 ms still accepting, 600 ms undisturbed, 500 ms
/// cancelling, 300 ms for hooks.
fn app() -> NexiosApp {
    NexiosApp::new(router())
        .requests(RequestLayer::new().grace(Duration::from_millis(200)))
        .accepting(Duration::from_millis(100))
        .shutdown_limit(Duration::from_millis(1_500))
        .cancelling(Duration::from_millis(500))
        .hooks_limit(Duration::from_millis(300))
        .on_shutdown("goodbye", async || say("goodbye"))
        .on_listening(|address| say(&address.to_string()))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn router() -> Router {
    let endless = async || {
        let events = stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(Event::default().data("tick"))
        });
        Sse::new(futures_util::StreamExt::then(events, async |event| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            event
        }))
    };
    let socket = async |upgrade: WebSocketUpgrade, life: ServiceLife| {
        let tracked = life.track("feed");
        upgrade.on_upgrade(|socket| {
            tracked.run(async |_| {
                let _socket = socket;
                pending::<()>().await;
            })
        })
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/stuck", get(pending::<&str>))
        .route("/broken", get(async || -> &'static str { panic!("a bug") }))
        .route("/events", get(endless))
        .route("/socket", get(socket))
        .route(
            "/closure",
            get(async || run_in_threadpool(|| thread::sleep(FOR_EVER)).await),
        )
        .route(
            "/blocking",
            get(async || {
                tokio::task::spawn_blocking(|| thread::sleep(FOR_EVER))
                    .await
                    .is_ok()
                    .to_string()
            }),
        )
        .route("/hold", get(async || thread::sleep(FOR_EVER)))
        .route(
            "/task",
            get(async || {
                let task = Background::global().spawn("newsletter", |_| pending::<()>());
                task.map_or("refused", |_| "started")
            }),
        )
        .route(
            "/work",
            get(async || {
                let task = Background::global()
                    .spawn("import", |_| tokio::time::sleep(Duration::from_millis(400)));
                task.map_or("refused", |_| "started")
            }),
        )
}

pub(crate) fn main(scenario: &str) -> ExitCode {
    match scenario {
        // As most people have it: it panics when standard error cannot be written.
        "usual log" => tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init(),
        _ => log_to_stderr(),
    }
    match scenario {
        "plain" | "usual log" => nexios_axum::run(app().serve("127.0.0.1:0")),
        "patient" => {
            let app = app()
                .accepting(FOR_EVER)
                .shutdown_limit(2 * FOR_EVER)
                .cancelling(FOR_EVER);
            nexios_axum::run(app.serve("127.0.0.1:0"))
        }
        "broken" => {
            let app = app().on_startup("open database", async || {
                Err::<(), _>("the database is away")
            });
            nexios_axum::run(app.serve("127.0.0.1:0"))
        }
        "slow start" => {
            let app = app().on_startup("slow", async || {
                say("starting");
                pending::<()>().await;
            });
            nexios_axum::run(app.serve("127.0.0.1:0"))
        }
        // The limit of the whole is shorter than what cancelling may take.
        "short limit" => {
            let app = app()
                .shutdown_limit(Duration::from_secs(1))
                .cancelling(FOR_EVER)
                .on_startup("slow", async || {
                    let task = Background::global().spawn("newsletter", |_| pending::<()>());
                    say(task.map_or("refused", |_| "starting"));
                    pending::<()>().await;
                });
            nexios_axum::run(app.serve("127.0.0.1:0"))
        }
        // As `services/graceful_shutdown.rs` of `tests/real_code` has it, with times of a test.
        "graceful shutdown" => {
            let times = graceful_shutdown::Times {
                slow: Duration::from_millis(400),
                request: FOR_EVER,
                end: Duration::from_millis(2_500),
            };
            let app = graceful_shutdown::app(&times)
                .accepting(Duration::from_millis(100))
                .on_listening(|address| say(&address.to_string()));
            nexios_axum::run(app.serve("127.0.0.1:0"))
        }
        // The plain runtime of tokio, for who does not want `run`.
        "own main" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            match runtime.block_on(app().serve("127.0.0.1:0")) {
                Ok(report) => report.exit_code(),
                Err(_) => ExitCode::FAILURE,
            }
        }
        unknown => panic!("no scenario {unknown}"),
    }
}

/// The log of the process: one line for each event, with its fields.
fn log_to_stderr() {
    tracing::subscriber::set_global_default(Log(Mutex::new(()))).unwrap();
}

struct Log(Mutex<()>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO && metadata.target().starts_with("nexios")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(
            &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                let _ = write!(line, " {field}={value:?}");
            },
        );
        let _one_at_a_time = self.0.lock();
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
