//! What each page shows, for a reader and for the events.

use std::sync::Arc;

use maud::{Markup, html};

use super::{
    address, background, jobs, layout,
    layout::{Page, Tab},
    lazies, lints, now, pools, races,
    region::Region,
    request,
    requests::{self, Cell},
    running,
    viewer::Viewer,
};
use crate::{
    access::Access,
    jobs_source::JobsSource,
    life::Known,
    model::{Answer, Background, Bucket, Status},
    query::{JobsQuery, RunningQuery},
    store::Store,
};

#[cfg(test)]
type Probe = Arc<dyn Fn(&str) + Send + Sync>;

/// Where everything comes from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<Store>,
    pub(crate) jobs: Arc<JobsSource>,
    pub(crate) life: Arc<Known>,
    pub(crate) service: Arc<str>,
    /// Told the address of each part that is rendered.
    #[cfg(test)]
    pub(crate) probe: Option<Probe>,
}

/// A page by its address, or the header, which is on all of them.
#[derive(Debug, Clone)]
pub(crate) enum View {
    Head,
    Running(RunningQuery),
    Requests,
    Cell(String, Bucket),
    Request(u64),
    Pools,
    Background(JobsQuery),
    Lazies,
    Races,
    Lints,
}

impl Source {
    fn status(&self) -> Status {
        self.store
            .status(&self.service, self.life.phase_name())
            .content
    }

    /// What stands above the list of live work.
    fn now(&self, viewer: Viewer<'_>) -> Region {
        let lints = self.store.lints().redacted(viewer.access).content;
        now::region(&self.store.now(), &lints, self.life.phase_name(), viewer)
    }

    fn background(&self, query: &JobsQuery, access: Access) -> Background {
        let answer = self.store.background(self.jobs.known(query));
        answer.redacted(access).content
    }

    /// Asks for what a page needs that is not here, and waits a moment for it.
    pub(crate) async fn look(&self, view: &View) {
        if let View::Background(query) = view {
            self.jobs.look(query).await;
        }
    }

    /// Asks for it, and waits for nothing.
    pub(crate) fn ask(&self, view: &View) {
        if let View::Background(query) = view {
            self.jobs.ask(query);
        }
    }

    /// Grows with whatever is to be seen: nothing to render while it stands.
    pub(crate) fn rev(&self) -> (u64, u64) {
        (self.store.rev(), self.jobs.rev())
    }

    /// The parts of it that change; none if there is nothing to show any more.
    pub(crate) fn regions(&self, view: &View, viewer: Viewer<'_>) -> Option<Vec<Region>> {
        let access = viewer.access;
        #[cfg(test)]
        self.probe.iter().for_each(|probe| probe(&view.path()));
        Some(match view {
            View::Head => layout::regions(&self.status(), viewer),
            View::Running(query) => {
                let running = self.store.running(query).redacted(access).content;
                running::regions(&running, self.now(viewer), query, viewer)
            }
            View::Requests => requests::grid_regions(&self.store.requests().content),
            View::Cell(route, bucket) => {
                let samples = self.store.samples(route, *bucket).redacted(access).content;
                requests::cell_regions(&samples, viewer)
            }
            View::Request(id) => {
                request::regions(&self.store.request(*id)?.redacted(access).content, viewer)
            }
            View::Pools => pools::regions(&self.store.pools().redacted(access).content, viewer),
            View::Background(query) => {
                background::regions(&self.background(query, access), query, viewer)
            }
            View::Lazies => lazies::regions(&self.store.lazies().redacted(access).content, viewer),
            View::Races => races::regions(&self.store.races().redacted(access).content),
            View::Lints => lints::regions(&self.store.lints().redacted(access).content, viewer),
        })
    }

    /// The whole page; none if there is nothing to show.
    pub(crate) fn page(&self, view: &View, viewer: Viewer<'_>) -> Option<Markup> {
        let access = viewer.access;
        let mut title = None;
        let (tab, main) = match view {
            View::Head => (Tab::Running, html! {}),
            View::Running(query) => {
                let running = self.store.running(query).redacted(access).content;
                (
                    Tab::Running,
                    running::main(&running, &self.now(viewer), query, viewer),
                )
            }
            View::Requests => (
                Tab::Requests,
                requests::grid(&self.store.requests().content),
            ),
            View::Cell(route, bucket) => {
                let Answer { content, .. } = self.store.samples(route, *bucket).redacted(access);
                (
                    Tab::Requests,
                    requests::cell(
                        Cell {
                            route,
                            bucket: *bucket,
                        },
                        &content,
                        viewer,
                    ),
                )
            }
            View::Request(id) => {
                let request = self.store.request(*id)?.redacted(access).content;
                let main = request::main(&request, viewer);
                title = Some(request.route);
                (Tab::Requests, main)
            }
            View::Pools => (
                Tab::Pools,
                pools::main(&self.store.pools().redacted(access).content, viewer),
            ),
            View::Background(query) => (
                Tab::Background,
                background::main(&self.background(query, access), query, viewer),
            ),
            View::Lazies => (
                Tab::Lazies,
                lazies::main(&self.store.lazies().redacted(access).content, viewer),
            ),
            View::Races => (
                Tab::Races,
                races::main(&self.store.races().redacted(access).content),
            ),
            View::Lints => (
                Tab::Lints,
                lints::main(&self.store.lints().redacted(access).content, viewer),
            ),
        };
        let title = title.as_deref().unwrap_or(tab.title());
        let events = self.events(view);
        Some(
            Page {
                tab,
                title,
                events,
                main,
            }
            .render(&self.status(), viewer),
        )
    }

    /// Where the events of a page are, below the console's root.
    fn events(&self, view: &View) -> String {
        let topics = format!("head,{}", view.topic());
        let mut fields = vec![("topics", topics.as_str())];
        match view {
            View::Running(query) => fields.extend(running::fields(query)),
            View::Background(query) => fields.extend(jobs::fields(query)),
            View::Cell(route, bucket) => {
                fields.extend([("route", route.as_str()), ("bucket", bucket.as_str())]);
            }
            _ => {}
        }
        address::with("events", &fields)
    }
}

impl View {
    fn topic(&self) -> String {
        match self {
            Self::Head => "head".to_owned(),
            Self::Running(_) => "running".to_owned(),
            Self::Requests | Self::Cell(..) => "requests".to_owned(),
            Self::Request(id) => format!("requests/{id}"),
            Self::Pools => "pools".to_owned(),
            Self::Background(_) => "background".to_owned(),
            Self::Lazies => "lazies".to_owned(),
            Self::Races => "races".to_owned(),
            Self::Lints => "lints".to_owned(),
        }
    }

    /// What tells it from all others.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Running(query) => address::with("running", &running::fields(query)),
            Self::Background(query) => address::with("background", &jobs::fields(query)),
            Self::Cell(route, bucket) => format!("requests {} {route}", bucket.as_str()),
            _ => self.topic(),
        }
    }

    /// Its address below the console's; the header is on all of them and has no links.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Head | Self::Running(_) => "/".to_owned(),
            _ => format!("/{}", self.topic()),
        }
    }
}
