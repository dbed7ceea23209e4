//! Each page with everything on it, as it was when somebody last looked at it.
#![allow(clippy::unwrap_used)]

mod fixtures;
mod sizes;

use maud::Markup;
use nexios::observe::WorkKind;

use fixtures::*;

use super::{
    background,
    layout::{Page, Tab},
    lazies, lints, now, pools, races,
    region::Region,
    request, requests,
    requests::Cell,
    running,
    viewer::Viewer,
};
use crate::{
    Access, assets,
    model::*,
    mount::Place,
    query::{JobsQuery, RunningQuery, ViewOf},
};

/// The page with what is around it, each tag on a line.
fn shown(tab: Tab, place: &Place, main: Markup) -> String {
    let page = Page {
        tab,
        title: tab.title(),
        events: "events?topics=head".into(),
        main,
    };
    let html = page.render(&status(), viewer(place)).into_string();
    // What differs from day to day, or with the look of the style.
    let html = html
        .replace(&assets::STYLE.address(), "assets/style")
        .replace(&assets::SCRIPT.address(), "assets/script");
    let html = html.replace(&assets::ICON.address(), "assets/icon");
    let mut lines = String::new();
    for (index, part) in html.split("data-now=\"").enumerate() {
        let part = if index == 0 {
            part
        } else {
            part.split_once('"').map_or(part, |(_, rest)| rest)
        };
        lines.push_str(part);
    }
    let ages: Vec<&str> = lines.split("<time data-since=\"").collect();
    let lines: Vec<String> = ages
        .iter()
        .enumerate()
        .map(|(index, part)| match (index, part.split_once('"')) {
            (0, _) | (_, None) => (*part).to_owned(),
            (_, Some((since, rest))) if since.parse() == Ok(THEN) => {
                format!("<time data-since=\"then\"{rest}")
            }
            (_, Some((_, rest))) => format!("<time data-since=\"while\"{rest}"),
        })
        .collect();
    lines.concat().replace("><", ">\n<")
}

/// What stands above the list of live work.
fn above(viewer: Viewer<'_>) -> Region {
    now::region(&right_now(), &lint_list(), "closing", viewer)
}

#[test]
fn running_looks_as_it_did() {
    let (place, query) = (
        place("./"),
        RunningQuery {
            name: "e\"><b>".into(),
            page: "2".into(),
            ..RunningQuery::default()
        },
    );
    insta::assert_snapshot!(shown(
        Tab::Running,
        &place,
        running::main(&live(), &above(viewer(&place)), &query, viewer(&place))
    ));
}

#[test]
fn requests_look_as_they_did() {
    let place = place("./");
    insta::assert_snapshot!(
        "grid",
        shown(Tab::Requests, &place, requests::grid(&grid()))
    );
    let cell = Cell {
        route: "GET /quote/{id}",
        bucket: Bucket::Cancelled,
    };
    insta::assert_snapshot!(
        "cell",
        shown(
            Tab::Requests,
            &place,
            requests::cell(cell, &samples(), viewer(&place))
        )
    );
}

#[test]
fn a_request_looks_as_it_did() {
    let place = place("../");
    insta::assert_snapshot!(shown(
        Tab::Requests,
        &place,
        request::main(&cancelled(), viewer(&place))
    ));
}

#[test]
fn the_other_pages_look_as_they_did() {
    let place = place("./");
    let viewer = viewer(&place);
    insta::assert_snapshot!(
        "pools",
        shown(Tab::Pools, &place, pools::main(&pool_list(), viewer))
    );
    insta::assert_snapshot!(
        "background",
        shown(
            Tab::Background,
            &place,
            background::main(&tasks(), &JobsQuery::default(), viewer)
        )
    );
    insta::assert_snapshot!(
        "lazies",
        shown(Tab::Lazies, &place, lazies::main(&lazy_list(), viewer))
    );
    insta::assert_snapshot!(
        "races",
        shown(Tab::Races, &place, races::main(&race_list()))
    );
    insta::assert_snapshot!(
        "lints",
        shown(Tab::Lints, &place, lints::main(&lint_list(), viewer))
    );
}

#[test]
fn a_name_is_text_whatever_it_is() {
    let place = place("./");
    let query = RunningQuery {
        view: ViewOf::Flat,
        kind: "<svg onload=x>".into(),
        ..RunningQuery::default()
    };
    let html = running::main(&live(), &above(viewer(&place)), &query, viewer(&place)).into_string();
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(
        !html.contains("<img") && !html.contains("<svg onload"),
        "{html}"
    );
}

#[test]
fn a_list_that_is_not_all_says_how_much_of_it_is_shown() {
    let place = place("./");
    let viewer = viewer(&place);
    let query = RunningQuery::default();
    let shown =
        |running: &Running| running::main(running, &above(viewer), &query, viewer).into_string();
    let part = shown(&live());
    assert!(
        part.contains("4 of 1,204 pieces of work shown, page 2 of 7"),
        "{part}"
    );
    assert!(part.contains("page=3"), "the next part is a link: {part}");
    let all = Running {
        total: 4,
        page: 1,
        pages: 1,
        ..live()
    };
    assert!(shown(&all).contains(">4 pieces of work<"));
}

#[test]
fn a_wait_for_a_lazy_value_says_how_long_it_has_been() {
    let place = place("./");
    let viewer = viewer(&place);
    let waits = Work {
        state: State::Waiting,
        waiting_for: Some("lazy value \"daily totals\"".into()),
        waits_since_unix_ms: Some(THEN + 700),
        ..work(7, WorkKind::Child, "totals")
    };
    let running = Running {
        total: 1,
        page: 1,
        pages: 1,
        work: vec![waits],
    };
    let html = running::main(&running, &above(viewer), &RunningQuery::default(), viewer);
    let since = format!("daily totals&quot;, <time data-since=\"{}\"", THEN + 700);
    let html = html.into_string();
    assert!(html.contains(&since), "{html}");
}

#[test]
fn nothing_stands_in_a_page_that_the_policy_forbids() {
    let place = place("../");
    let html = shown(
        Tab::Requests,
        &place,
        request::main(&cancelled(), viewer(&place)),
    );
    for forbidden in [
        "style=",
        "<style",
        " onclick",
        "javascript:",
        "http://",
        "https://",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(
        html.matches("<script").count(),
        1,
        "one file, and no script in the page"
    );
}

#[test]
fn who_may_only_look_sees_no_form_that_acts() {
    let place = place("./");
    let viewer = Viewer {
        access: Access::View,
        acts: false,
        ..viewer(&place)
    };
    for html in [
        running::main(&live(), &above(viewer), &RunningQuery::default(), viewer),
        lazies::main(&lazy_list(), viewer),
        background::main(&tasks(), &JobsQuery::default(), viewer),
    ] {
        assert!(!html.into_string().contains("method=\"post\""));
    }
}

#[test]
fn the_story_says_who_cancelled_it_and_where_the_time_went() {
    let place = place("../");
    let html = request::main(&cancelled(), viewer(&place)).into_string();
    assert!(
        html.contains("Cancelled after 812 ms: the client left. Cleaning up took 43 ms."),
        "{html}"
    );
    assert!(html.contains("waiting for a thread of &quot;thumbnails&quot;"));
    assert!(
        html.contains("since stock failed"),
        "a sibling that failed is named"
    );
    assert!(html.contains("won by carrier-b") && html.contains("to carrier-b, saved 1.20 s"));
}

#[test]
fn a_finalizer_is_shaded_as_long_as_it_waits_for_its_group() {
    let mut request = cancelled();
    let finalizer = request.spans.last_mut().expect("the finalizer");
    finalizer.made_ms = 345.0;
    let place = place("../");
    let html = request::main(&request, viewer(&place)).into_string();
    let (_, bar) = html.split_once("id=\"work-86\"").expect("its bar");
    let (bar, _) = bar.split_once("</li>").expect("its end");
    assert!(bar.contains("<i class="), "from 345 ms to 813 ms: {bar}");
    assert!(
        bar.contains("waited 468 ms for the others of its group"),
        "{bar}"
    );
}

#[test]
fn a_request_that_runs_says_what_it_waits_for() {
    let request = Request {
        state: State::Running,
        status: None,
        cleanup_ms: None,
        reason: None,
        ..cancelled()
    };
    let mut spans = request.spans.clone();
    spans.truncate(6);
    spans[0] = Span {
        state: State::Running,
        ended_ms: None,
        ..spans[0].clone()
    };
    spans[5] = Span {
        state: State::Waiting,
        started_ms: None,
        ended_ms: None,
        error: None,
        ..spans[5].clone()
    };
    let place = place("../");
    let html = request::main(&Request { spans, ..request }, viewer(&place)).into_string();
    let said = "So far 812 ms. Right now: pool job render-pdf waits for a thread of &quot;thumbnails&quot;, 0.4 s by now.";
    assert!(html.contains(said), "{html}");
}

#[test]
fn the_events_send_what_the_page_holds() {
    let place = place("./");
    let viewer = viewer(&place);
    let query = RunningQuery::default();
    let page = running::main(&live(), &above(viewer), &query, viewer).into_string();
    for region in running::regions(&live(), above(viewer), &query, viewer) {
        let html = maud::Render::render(&region).into_string();
        assert!(
            html.contains(&format!("id=\"{}\"", region.id)) && page.contains(&html),
            "{}",
            region.id
        );
    }
    let (tasks, jobs) = (tasks(), JobsQuery::default());
    let page = background::main(&tasks, &jobs, viewer).into_string();
    for region in background::regions(&tasks, &jobs, viewer) {
        let html = maud::Render::render(&region).into_string();
        assert!(page.contains(&html), "{}", region.id);
    }
    let page = request::main(&cancelled(), viewer).into_string();
    let regions: Vec<Region> = request::regions(&cancelled(), viewer);
    assert!(
        regions
            .iter()
            .all(|region| page.contains(&maud::Render::render(region).into_string()))
    );
}

#[test]
fn what_may_be_done_to_a_job_is_offered_by_its_state() {
    let place = place("./");
    let html = background::main(&tasks(), &JobsQuery::default(), viewer(&place)).into_string();
    let offered = |path: &str, id: u64| html.contains(&format!("action=\"./actions/{path}/{id}\""));
    for (id, retry, cancel) in [
        (7, false, true),
        (5, true, true),
        (4, true, true),
        (3, false, false),
        (2, true, false),
    ] {
        assert_eq!(
            (offered("retry", id), offered("cancel-job", id)),
            (retry, cancel),
            "#{id}"
        );
    }
    assert!(!html.contains("<img"), "a kind and an error are text");
}

#[test]
fn what_became_of_each_attempt_is_said_in_words() {
    let place = place("./");
    let html = background::main(&tasks(), &JobsQuery::default(), viewer(&place)).into_string();
    let says = |start: &str, end: &str| {
        let mut lines = html.split("<li>").filter(|line| line.starts_with(start));
        lines.any(|line| line.contains(end))
    };
    assert!(says("1: on press-1, pid 77", "took 2.50 s, failed "));
    assert!(says("2: on press-1, pid 78", "took 2.50 s, handed back"));
}

#[test]
fn the_last_error_of_a_job_is_called_so_while_it_lives_and_left_out_where_it_says_nothing() {
    let place = place("./");
    for (state, shown) in [
        ("retrying", Some("last error: the mail server")),
        ("running", Some("last error: the mail server")),
        ("dead", Some("the mail server")),
        ("failed", Some("the mail server")),
        ("completed", None),
        ("cancelled", None),
    ] {
        let list = JobList {
            has_store: true,
            is_known: true,
            jobs: vec![Job {
                attempts: Vec::new(),
                ..job(7, "send newsletter", state)
            }],
            ..JobList::default()
        };
        let background = Background {
            tasks: Vec::new(),
            schedules: Vec::new(),
            jobs: list,
        };
        let html = background::main(&background, &JobsQuery::default(), viewer(&place));
        let html = html.into_string();
        let error = html
            .split("<small class=\"error\">")
            .find(|part| part.contains("the mail server"));
        assert_eq!(
            error.map(|part| &part[..part.find(" said").unwrap()]),
            shown,
            "{state}"
        );
    }
}
