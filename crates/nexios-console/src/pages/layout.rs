//! What is around every page.

use maud::{DOCTYPE, Markup, html};

use super::{region::Region, text, viewer::Viewer};
use crate::{assets, model::Status};

/// The pages, in the order of the tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Running,
    Requests,
    Pools,
    Background,
    Lazies,
    Races,
    Lints,
}

impl Tab {
    const ALL: [Self; 7] = [
        Self::Running,
        Self::Requests,
        Self::Pools,
        Self::Background,
        Self::Lazies,
        Self::Races,
        Self::Lints,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Requests => "Requests",
            Self::Pools => "Pools",
            Self::Background => "Background",
            Self::Lazies => "Lazy values",
            Self::Races => "Races and hedges",
            Self::Lints => "Lints",
        }
    }

    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::Running => "",
            Self::Requests => "requests",
            Self::Pools => "pools",
            Self::Background => "background",
            Self::Lazies => "lazies",
            Self::Races => "races",
            Self::Lints => "lints",
        }
    }
}

/// A page with everything around it.
pub(crate) struct Page<'a> {
    pub(crate) tab: Tab,
    pub(crate) title: &'a str,
    /// Where the script finds the events, below the console's root.
    pub(crate) events: String,
    pub(crate) main: Markup,
}

impl Page<'_> {
    pub(crate) fn render(&self, status: &Status, viewer: Viewer<'_>) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" data-stream="off" data-now=(text::now()) data-events={ (viewer.place.base) (self.events) } {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (status.service) }
                    link rel="icon" href={ (viewer.place.base) (assets::ICON.address()) };
                    link rel="stylesheet" href={ (viewer.place.base) (assets::STYLE.address()) };
                    script src={ (viewer.place.base) (assets::SCRIPT.address()) } {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        .top {
                            (head(status, viewer))
                            .tools {
                                span.stream role="status" {}
                                button type="button" data-does="pause" aria-pressed="false" hidden { "Pause" }
                                button type="button" data-does="theme" hidden { "Theme" }
                                button type="button" data-does="help" aria-label="Help" hidden { "?" }
                                noscript { a href="" { "Reload" } }
                            }
                        }
                        (self.tabs(status, viewer))
                    }
                    main id="main" tabindex="-1" { (self.main) }
                    (help())
                }
            }
        }
    }

    fn tabs(&self, status: &Status, viewer: Viewer<'_>) -> Markup {
        let current = |tab| (self.tab == tab).then_some("page");
        html! {
            nav aria-label="Pages" {
                @for tab in Tab::ALL {
                    a href=(link(tab, viewer)) aria-current=[current(tab)] {
                        (tab.title())
                        @if tab == Tab::Lints { " " (badge(status)) }
                    }
                }
            }
        }
    }
}

fn link(tab: Tab, viewer: Viewer<'_>) -> String {
    match tab.address() {
        "" => viewer.place.home.clone(),
        address => format!("{}{address}", viewer.place.base),
    }
}

/// What changes around the page.
pub(crate) fn regions(status: &Status, viewer: Viewer<'_>) -> Vec<Region> {
    vec![head(status, viewer), badge(status)]
}

fn head(status: &Status, viewer: Viewer<'_>) -> Region {
    let span = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), text::span);
    let started = status.uptime_ms;
    let number = |label: &str, field: &str, value: String, about: &str, alarm: bool| {
        html! {
            div title=(about) {
                dt { (label) }
                dd data-field=(field) .alarm[alarm] { (value) }
            }
        }
    };
    let (cancelled, shed) = (status.cancelled_per_minute, status.shed_per_minute);
    let html = html! {
        div #head {
            p.service {
                strong data-field="service" { (status.service) }
                " " span.phase data-phase=(status.phase) data-field="phase" { (status.phase) }
                " " span.up { "up " span data-field="uptime" { (viewer.since_age(started)) } }
            }
            dl {
                (number("in flight", "in-flight", text::count(status.in_flight), "Requests right now", false))
                (number("p50", "p50", span(status.p50_ms), "Half of the requests of the last minute took at most this", false))
                (number("p99", "p99", span(status.p99_ms), "All but one of a hundred requests of the last minute took at most this", false))
                (number("cancelled/min", "cancelled", text::count(cancelled), "Requests that were cancelled in the last minute", cancelled > 0))
                (number("shed/min", "shed", text::count(shed), "Pool jobs that were refused, and requests that were turned away for a pool, in the last minute", shed > 0))
            }
        }
    };
    Region::whole("head", html)
}

fn badge(status: &Status) -> Region {
    let html = html! {
        span #lint-count .badge[status.lints > 0] data-field="lints" { (status.lints) }
    };
    Region::whole("lint-count", html)
}

fn help() -> Markup {
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl {
                dt { kbd { "/" } } dd { "to the filter" }
                dt { kbd { "p" } } dd { "pause, and go on" }
                dt { kbd { "?" } } dd { "this help" }
            }
            form method="dialog" { button { "Close" } }
        }
    }
}
