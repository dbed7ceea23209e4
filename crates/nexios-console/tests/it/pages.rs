//! The pages, as a reader without a script finds them.

use axum::Router;
use nexios::observe::{self, CustomWork, Update};
use nexios_console::{Access, Console};

use crate::asking::{ask, get, nested};

fn loopback() -> Console {
    Console::builder()
        .service("checkout")
        .loopback()
        .allow_actions()
        .build()
}

fn request(route: &'static str) -> (CustomWork, u64) {
    let request = observe::request(route);
    let id = request.id().expect("a console observes").0;
    (request, id)
}

#[tokio::test]
async fn every_page_is_complete_and_names_itself() {
    let router = nested(&loopback());
    for (path, title) in [
        ("", "Running"),
        ("/requests", "Requests"),
        ("/pools", "Pools"),
        ("/background", "Background"),
        ("/lazies", "Lazy values"),
        ("/races", "Races and hedges"),
        ("/lints", "Lints"),
    ] {
        let page = get(&router, &format!("/nexios{path}")).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.body
                .starts_with("<!DOCTYPE html><html lang=\"en\" data-stream=\"off\""),
            "{path}"
        );
        assert!(page.body.contains(&format!("<h1>{title}</h1>")), "{path}");
        assert_eq!(page.body.matches("<h1").count(), 1, "{path}");
        assert_eq!(
            page.body.matches("aria-current=\"page\"").count(),
            1,
            "{path}"
        );
        for field in [
            "service",
            "phase",
            "uptime",
            "in-flight",
            "p50",
            "p99",
            "cancelled",
            "shed",
            "lints",
        ] {
            assert_eq!(
                page.body
                    .matches(&format!("data-field=\"{field}\""))
                    .count(),
                1,
                "{path}: {field}"
            );
        }
        assert!(
            page.body.contains("data-field=\"service\">checkout<"),
            "{path}"
        );
    }
}

/// Every link, form and file of a page.
fn links(html: &str) -> Vec<String> {
    let attributes = [" href=\"", " src=\"", " action=\""];
    let links = attributes
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1));
    links
        .filter_map(|rest| Some(rest.split_once('"')?.0.replace("&amp;", "&")))
        .filter(|link| !link.starts_with('#'))
        .collect()
}

/// As a browser does it.
fn resolve(from: &str, link: &str) -> String {
    let (link, query) = link
        .split_once('?')
        .map_or((link, None), |(link, query)| (link, Some(query)));
    let mut parts: Vec<&str> = from
        .split('?')
        .next()
        .unwrap_or_default()
        .split('/')
        .collect();
    if !link.is_empty() {
        parts.pop();
    }
    for part in link.split('/').filter(|_| !link.is_empty()) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[tokio::test]
async fn the_address_with_a_slash_answers_under_nest_service_and_not_under_nest() {
    let console = loopback();
    let service = Router::new().nest_service("/nexios", console.router());
    for (router, path, expected) in [
        (&service, "/nexios", true),
        (&service, "/nexios/", true),
        (&nested(&console), "/nexios", true),
        // axum's `nest` has no route for it, and the fallback of the outer router answers.
        (&nested(&console), "/nexios/", false),
    ] {
        let answer = get(router, path).await;
        // One of the two may send to the other.
        let answers = answer.status.is_redirection() || answer.status == 200;
        assert_eq!(answers, expected, "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn links_hold_under_every_prefix() {
    let console = loopback();
    let (live, id) = request("GET /live");
    let merged = console.router();
    let deep = Router::new().nest("/admin", Router::new().nest("/{tenant}", nested(&console)));
    let same_names = Router::new().nest("/{id}", nested(&console));
    let slash = Router::new().nest("/console/", console.router());
    let service = Router::new().nest_service("/nexios", console.router());
    for (router, mount, home) in [
        (&nested(&console), "/nexios", "/nexios"),
        (&deep, "/admin/acme/nexios", "/admin/acme/nexios"),
        (&slash, "/console", "/console/"),
        (&service, "/nexios", "/nexios"),
        (&merged, "", "/"),
        (&same_names, "/7/nexios", "/7/nexios"),
    ] {
        // A fallback is handed on by one `nest` and not by a second one.
        let is_ours = get(router, &format!("{mount}/nowhere"))
            .await
            .body
            .contains("<h1>");
        let nowhere = if is_ours { "/nowhere" } else { "/pools" };
        let pages = [
            home,
            &format!("{mount}/requests/{id}"),
            &format!("{mount}/lints"),
            &format!("{mount}{nowhere}"),
        ];
        for page in pages {
            let answer = get(router, page).await;
            let links = links(&answer.body);
            let json = get(router, &format!("{mount}/api/v1/requests/{id}")).await;
            assert_eq!(json.status, 200, "{mount}");
            assert!(links.len() >= 3, "{page}: {}", answer.body);
            for link in links {
                let target = resolve(page, &link);
                let found = get(router, &target).await.status;
                assert_eq!(found, 200, "from {page} by {link} to {target}");
            }
        }
    }
    let with_slash = get(&service, "/nexios/?view=flat").await;
    assert_eq!(
        (with_slash.status.as_u16(), with_slash.header("location")),
        (307, "../nexios?view=flat")
    );
    drop(live);
}

#[tokio::test]
async fn live_work_is_shown_with_its_hooks() {
    let router = nested(&loopback());
    let (live, id) = request("GET /quote/{id}");
    let part = live.scope(|| observe::custom("<img src=x onerror=alert(1)>"));
    part.update(&Update::Progress { done: 3, total: 10 });
    let page = get(&router, "/nexios").await.body;
    assert!(
        page.contains(&format!(
            "data-work-id=\"{id}\" data-kind=\"request\" data-state=\"running\""
        )),
        "{page}"
    );
    assert!(page.contains(&format!("href=\"./nexios/requests/{id}\"")));
    assert!(
        page.contains("<progress value=\"3\" max=\"10\" aria-label=\"Progress of &lt;img"),
        "{page}"
    );
    assert!(!page.contains("<img"), "a name is text");
    let request = get(&router, &format!("/nexios/requests/{id}")).await.body;
    assert!(
        request.contains("<h1>GET /quote/{id}</h1>")
            && request.contains("aria-label=\"Waterfall\"")
    );
    let part_id = part.id().unwrap();
    assert!(
        request.contains(&format!(
            "data-work-id=\"{part_id}\" data-kind=\"custom\" data-state=\"running\" data-parent=\"{id}\""
        )),
        "{request}"
    );
    drop(part);
    drop(live);
}

#[tokio::test]
async fn a_filter_is_a_form_whose_values_come_back() {
    let router = nested(&loopback());
    let (live, _) = request("GET /filtered");
    let page = get(
        &router,
        "/nexios?view=flat&name=%22%3E%3Cb%3E&kind=request&state=waiting&older=2s",
    )
    .await
    .body;
    assert!(
        page.contains("name=\"name\" value=\"&quot;&gt;&lt;b&gt;\""),
        "{page}"
    );
    assert!(
        page.contains("<option value=\"request\" selected>")
            && page.contains("<option value=\"waiting\" selected>")
    );
    assert!(
        page.contains("name=\"older\" value=\"2s\"")
            && page.contains("name=\"view\" value=\"flat\"")
    );
    assert!(!page.contains("GET /filtered"), "it does not match");
    assert!(
        get(&router, "/nexios?name=FILT")
            .await
            .body
            .contains("GET /filtered")
    );
    assert_eq!(get(&router, "/nexios?name=a&name=b").await.status, 400);
    drop(live);
}

#[tokio::test]
async fn who_may_only_view_reads_dots() {
    let rule = |parts: &axum::http::request::Parts| match parts.headers.contains_key("x-trusted") {
        true => Access::ViewSensitive,
        false => Access::View,
    };
    let router = nested(&Console::builder().access(rule).build());
    let (live, id) = request("GET /mail");
    let part = live.scope(|| observe::custom("send"));
    part.update(&Update::Message("to ada@example.com"));
    live.update(&Update::Attribute {
        name: "uri",
        value: "/mail?to=ada",
    });
    for path in [
        "/nexios".to_owned(),
        format!("/nexios/requests/{id}"),
        "/nexios/api/v1/running".to_owned(),
        format!("/nexios/api/v1/requests/{id}"),
    ] {
        let hidden = get(&router, &path).await.body;
        let shown = ask(&router, "GET", &path, &[("x-trusted", "yes")])
            .await
            .body;
        assert!(
            hidden.contains("•••") && !hidden.contains("ada"),
            "{path}: {hidden}"
        );
        assert!(
            shown.contains("ada") && !shown.contains("•••"),
            "{path}: {shown}"
        );
    }
    drop(part);
    drop(live);
}

#[tokio::test]
async fn what_is_not_there_is_a_page_too() {
    let router = nested(&loopback());
    for path in [
        "/nexios/requests/18446744073709551615",
        "/nexios/requests/x",
        "/nexios/a/b/c",
    ] {
        let page = get(&router, path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("<h1>Not Found</h1>"), "{path}");
    }
    assert_eq!(
        get(&router, "/nexios/requests?route=GET%20/&bucket=lt7ms")
            .await
            .status,
        400
    );
}
