//! Who is let in.

use axum::http::request::Parts;
use base64::{Engine, engine::general_purpose::STANDARD};
use nexios_console::{Access, Console, Secret};

use crate::asking::{ask, from_peer, get, nested, request, send};

const EVERYTHING: [&str; 13] = [
    "/nexios",
    "/nexios/requests",
    "/nexios/requests/1",
    "/nexios/pools",
    "/nexios/background",
    "/nexios/lazies",
    "/nexios/races",
    "/nexios/lints",
    "/nexios/assets/console.css",
    "/nexios/events?topics=head",
    "/nexios/api/v1/status",
    "/nexios/api/v1/openapi.json",
    "/nexios/nowhere",
];

fn by_role() -> Console {
    let rule = |parts: &Parts| match parts.headers.get("x-role").map(|role| role.as_bytes()) {
        Some(b"admin") => Access::Act,
        Some(b"support") => Access::View,
        _ => Access::Forbidden,
    };
    Console::builder().access(rule).allow_actions().build()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn loopback_answers_to_names_of_this_machine_only() {
    let router = nested(&Console::builder().loopback().build());
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.2", 403),
        ("admin@localhost", 403),
        ("local host", 403),
        ("", 403),
    ] {
        let answer = ask(&router, "GET", "/nexios", &[("host", host)]).await;
        assert_eq!(answer.status, expected, "{host:?}");
    }
    let two = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(ask(&router, "GET", "/nexios", &two).await.status, 403);
    assert_eq!(
        get(&router, "http://evil.example/nexios").await.status,
        403,
        "the name of HTTP/2 counts too"
    );
}

#[tokio::test]
async fn loopback_lets_no_proxy_speak_for_others() {
    let router = nested(&Console::builder().loopback().build());
    for header in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ] {
        assert_eq!(
            ask(&router, "GET", "/nexios", &[(header, "x")])
                .await
                .status,
            403,
            "{header}"
        );
    }
}

#[tokio::test]
async fn loopback_looks_at_the_peer_where_it_is_known() {
    let router = nested(&Console::builder().loopback().build());
    for (peer, expected) in [
        ("127.0.0.1:5000", 200),
        ("127.8.9.1:5000", 200),
        ("[::1]:5000", 200),
        ("[::ffff:127.0.0.1]:5000", 200),
        ("192.168.0.7:5000", 403),
        ("[fe80::1]:5000", 403),
    ] {
        let answer = send(&router, from_peer(request("GET", "/nexios", &[]), peer)).await;
        assert_eq!(answer.status, expected, "{peer}");
    }
}

#[tokio::test]
async fn basic_asks_for_the_pair_and_takes_no_other() {
    let router = nested(&Console::builder().basic_auth("ops", "s3cret").build());
    let none = get(&router, "/nexios").await;
    assert_eq!(none.status, 401);
    assert_eq!(
        none.header("www-authenticate"),
        "Basic realm=\"nexios\", charset=\"UTF-8\""
    );
    for (sent, expected) in [
        (basic("ops:s3cret"), 200),
        (basic("ops:s3cret").replace("Basic", "basic"), 200),
        (basic("ops:S3cret"), 401),
        (basic("ops:s3cret "), 401),
        (basic("ops:"), 401),
        (basic("ops"), 401),
        (basic("root:s3cret"), 401),
        ("Basic !!!".to_owned(), 401),
        ("Basic".to_owned(), 401),
        ("Bearer s3cret".to_owned(), 401),
    ] {
        let answer = ask(&router, "GET", "/nexios", &[("authorization", &sent)]).await;
        assert_eq!(answer.status, expected, "{sent}");
    }
    assert_eq!(
        get(&router, "/nexios?secret=s3cret&token=s3cret")
            .await
            .status,
        401,
        "never in an address"
    );
}

#[tokio::test]
async fn bearer_asks_for_the_token_in_the_header() {
    let router = nested(&Console::builder().bearer("t0ken").build());
    assert_eq!(
        get(&router, "/nexios/api/v1/status")
            .await
            .header("www-authenticate"),
        "Bearer realm=\"nexios\""
    );
    for (sent, expected) in [
        ("Bearer t0ken", 200),
        ("bearer t0ken", 200),
        ("Bearer t0ke", 401),
        ("t0ken", 401),
    ] {
        let answer = ask(
            &router,
            "GET",
            "/nexios/api/v1/status",
            &[("authorization", sent)],
        )
        .await;
        assert_eq!(answer.status, expected, "{sent}");
    }
    assert_eq!(
        get(&router, "/nexios/api/v1/status?access_token=t0ken")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn the_rule_of_the_app_decides() {
    let router = nested(&by_role());
    for (role, expected) in [("admin", 200), ("support", 200), ("guest", 403), ("", 403)] {
        assert_eq!(
            ask(&router, "GET", "/nexios", &[("x-role", role)])
                .await
                .status,
            expected,
            "{role:?}"
        );
    }
}

#[tokio::test]
async fn public_is_for_everybody_to_look() {
    let router = nested(
        &Console::builder()
            .dangerously_public()
            .allow_actions()
            .build(),
    );
    let headers = [("host", "example.com"), ("x-forwarded-for", "1.2.3.4")];
    assert_eq!(ask(&router, "GET", "/nexios", &headers).await.status, 200);
    let post = [("host", "example.com"), ("sec-fetch-site", "same-origin")];
    assert_eq!(
        ask(&router, "POST", "/nexios/actions/cancel/1", &post)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn nothing_is_beside_the_door() {
    for console in [
        Console::builder().basic_auth("ops", "s3cret").build(),
        Console::builder().bearer("t0ken").build(),
    ] {
        for path in EVERYTHING {
            assert_eq!(get(&nested(&console), path).await.status, 401, "{path}");
        }
    }
    let router = nested(&Console::builder().loopback().build());
    for path in EVERYTHING {
        assert_eq!(
            ask(&router, "GET", path, &[("host", "evil.example")])
                .await
                .status,
            403,
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_says_what_the_browser_must_not_do() {
    let console = Console::builder().basic_auth("ops", "s3cret").build();
    let router = nested(&console);
    let known = basic("ops:s3cret");
    let known: &[(&str, &str)] = &[("authorization", &known)];
    for path in EVERYTHING
        .into_iter()
        .filter(|path| !path.contains("events"))
    {
        for headers in [known, &[]] {
            let answer = ask(&router, "GET", path, headers).await;
            let policy = answer.header("content-security-policy");
            for rule in [
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ] {
                assert!(policy.contains(rule), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        }
    }
}

#[tokio::test]
async fn refusals_of_the_api_are_problems() {
    let router = nested(&Console::builder().loopback().build());
    let refused = ask(
        &router,
        "GET",
        "/nexios/api/v1/status",
        &[("host", "evil.example")],
    )
    .await;
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let unknown = get(&router, "/nexios/api/v1/nowhere").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.header("content-type")),
        (404, "application/problem+json")
    );
    let page = get(&router, "/nexios/nowhere").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (404, "text/html; charset=utf-8")
    );
}

#[tokio::test]
async fn another_method_is_told_which_ones_there_are() {
    let router = nested(&Console::builder().loopback().build());
    let same = [("sec-fetch-site", "same-origin")];
    let page = ask(&router, "POST", "/nexios/pools", &same).await;
    assert_eq!(page.status, 405);
    assert!(page.header("allow").contains("GET"), "{:?}", page.headers);
    let action = get(&router, "/nexios/actions/cancel/1").await;
    assert_eq!(
        (action.status.as_u16(), action.header("allow")),
        (405, "POST")
    );
}

#[test]
fn a_secret_is_not_shown() {
    let console = Console::builder().basic_auth("ops", "s3cret").build();
    let shown = format!("{console:?} {:?}", Secret::from("s3cret".to_owned()));
    assert!(!shown.contains("s3cret"), "{shown}");
    let builder = Console::builder().bearer("s3cret");
    assert!(!format!("{builder:?}").contains("s3cret"));
}

#[test]
#[should_panic(expected = "the secret is empty")]
fn an_empty_secret_is_none() {
    let _ = Console::builder().bearer("");
}

#[test]
#[should_panic(expected = "the secret is empty")]
fn an_empty_password_is_none() {
    let _ = Console::builder().basic_auth("ops", "");
}
