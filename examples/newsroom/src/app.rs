//! The service as one router.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_request},
    routing::{get, post},
};
use nexios::{CancelToken, ThreadPool, run_in_threadpool};
use nexios_axum::{
    NexiosApp, OnDisconnect, RequestLayer, RouteDeadline, method_not_allowed, not_found,
};
use nexios_console::Console;
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

use crate::{
    Config,
    access_log::{request_span, short_request_id},
    analytics::Analytics,
    console,
    darkroom::Darkroom,
    data::{Place, prepare},
    gallery::Gallery,
    mail::{Mailer, Outbox},
    newsletter::{Address, Newsletters},
    origin::{known_host, listens_for_this_machine, no_foreign_writes, policies},
    protected::Counters,
    routes::{analytics as daily, dashboard, index, newsletter, protected, search, tasks, upload},
    search::Articles,
    sqlite::Sqlite,
    uploads::Uploads,
    upstream::UpstreamClient,
};

/// `/dashboard`, `/search` and `/protected-operation` have tighter limits of their own, `/upload` has a longer one. This
/// one is that of all others, and ends for those three what HTTP/1 does not let them see.
const LONGEST_REQUEST: Duration = Duration::from_secs(90);

/// As an upload may take two minutes to arrive.
const LONGEST_UPLOAD: Duration = Duration::from_secs(180);

/// What the handlers share.
#[derive(Clone)]
pub struct Newsroom {
    pub(crate) upstream: Arc<UpstreamClient>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) darkroom: Arc<Darkroom>,
    pub(crate) gallery: Arc<Gallery>,
    pub(crate) articles: Arc<Articles>,
    pub(crate) newsletters: Newsletters,
    pub(crate) analytics: Arc<Analytics>,
    pub(crate) protected: Arc<Counters>,
    /// Whether the service listens for its own machine alone.
    pub(crate) is_local: bool,
    /// The names under which clients on this machine may ask for it besides local ones.
    pub(crate) hosts: Arc<[String]>,
    /// Watches over the requests; it is here because the service waits for them at its end.
    pub(crate) requests: RequestLayer,
    pub(crate) console: Option<Console>,
}

impl std::fmt::Debug for Newsroom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Newsroom")
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

impl Newsroom {
    /// Wires up the service; files and connections are opened when they are first used.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        // Before all others: it sees what is made while it is there.
        let console = config.console.console();
        let place = Place::new(&config.data);
        // Blocking work waits more than it computes, so it has threads of its own.
        let files = ThreadPool::builder()
            .name("files")
            .threads(4)
            .queue(256)
            .build();
        // Who searches is turned away when that is slow; who sends newsletters waits, and has connections of its own.
        let searched = |path: PathBuf| Sqlite::read_only(&path, 8, Duration::from_secs(1));
        let subscribers = Sqlite::read_only(&place.primary(), 4, Duration::from_secs(30));

        let mailer = match &config.smtp_url {
            Some(server) => Mailer::Smtp {
                server: server.clone(),
                limit: config.smtp_limit,
            },
            None => Mailer::Outbox(Outbox::new(place.outbox(), files.clone())),
        };
        let jobs = match &config.jobs {
            Some(url) => Address::Url(url.clone()),
            None => Address::File(place.jobs()),
        };
        Newsroom {
            upstream: Arc::new(UpstreamClient::new(config.upstream.clone())),
            uploads: Arc::new(Uploads::new()),
            darkroom: Arc::new(Darkroom::new()),
            gallery: Arc::new(Gallery::new(place.thumbnails(), files)),
            articles: Arc::new(Articles::new(
                searched(place.primary()),
                searched(place.replica()),
            )),
            newsletters: Newsletters::new(jobs, subscribers, mailer, config.smtp_retry_after),
            analytics: Arc::new(Analytics::new(place.dataset())),
            protected: Arc::new(Counters::default()),
            is_local: listens_for_this_machine(&config.listen),
            hosts: config.host.as_slice().into(),
            requests: RequestLayer::new()
                .shutdown(CancelToken::new())
                .deadline(LONGEST_REQUEST),
            console,
        }
    }
}

/// Makes the whole service; its data must be there, see [`prepare`](crate::prepare).
pub fn app(config: &Config) -> Router {
    router(Newsroom::new(config))
}

/// Makes the service of parts that somebody else holds too.
pub fn router(newsroom: Newsroom) -> Router {
    let upload = post(upload::upload).layer((
        // It has limits of its own.
        DefaultBodyLimit::disable(),
        RouteDeadline::of(LONGEST_UPLOAD),
        // There is nothing to clean up, and somebody may be waiting for the memory.
        OnDisconnect::Immediate,
    ));
    let console = newsroom.console.clone();
    let app = Router::new()
        .route("/", get(index::index))
        .route("/dashboard", get(dashboard::dashboard))
        .route("/upload", upload)
        .route("/thumbnails/{name}", get(upload::thumbnail))
        .route("/search", get(search::search))
        .route("/send-newsletter", post(newsletter::send_newsletter))
        .route("/newsletters", get(newsletter::newsletters))
        .route("/analytics/daily", get(daily::daily))
        .route("/analytics/reset", post(daily::reset))
        .route("/protected-operation", get(protected::protected_operation))
        .merge(tasks::tasks(&newsroom))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Outermost first.
        .layer((
            map_request(short_request_id),
            SetRequestIdLayer::x_request_id(MakeRequestUuid),
            PropagateRequestIdLayer::x_request_id(),
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_request(())
                .on_response(())
                .on_failure(()),
            policies(),
            newsroom.requests.clone(),
            from_fn_with_state(newsroom.clone(), known_host),
            no_foreign_writes(),
        ))
        .with_state(newsroom);
    console::beside(app, console.as_ref())
}

/// Makes the service with its begin and its end: data before the first client, nothing lost after the last.
pub fn service(newsroom: Newsroom, config: &Config) -> NexiosApp {
    let (requests, preparing, daily) =
        (newsroom.requests.clone(), config.clone(), newsroom.clone());
    let (newsletters, sending) = (newsroom.newsletters.clone(), newsroom.newsletters.clone());
    let console = newsroom.console.clone();
    NexiosApp::new(router(newsroom))
        .requests_of(&requests)
        .accepting(config.accepting)
        .shutdown_limit(config.shutdown_limit)
        .on_startup("prepare data", async move || {
            // With its causes: the service says no more than what the error itself does.
            let prepared = run_in_threadpool(move || prepare(&preparing)).await;
            for line in prepared.map_err(|error| format!("{error:#}"))? {
                tracing::info!("{line}");
            }
            Ok::<_, String>(())
        })
        .background(sending)
        .on_startup("open the jobs of newsletters", async move || {
            let jobs = newsletters
                .open()
                .await
                .map_err(|error| error.to_string())?;
            if let Some(console) = console {
                console.show_jobs(&jobs);
            }
            Ok::<_, String>(())
        })
        .on_startup("refresh analytics daily", async move || {
            daily.refresh_analytics_daily();
        })
}
