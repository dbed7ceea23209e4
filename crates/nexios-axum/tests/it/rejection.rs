//! What a client is told whose request cannot be read: in its own words, without a name of ours.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, HttpBody},
    extract::{Form, Path, Query, RawForm, ws::WebSocketUpgrade},
    http::{Request, header::CONTENT_TYPE},
    middleware::map_request,
    routing::{get as on_get, post as on_post},
};
use futures_util::stream;
use http_body::Frame;
use http_body_util::Limited;
use nexios_axum::{OrProblem, Problem, RequestLayer};
use serde::Deserialize;

use crate::answer::{Answer, get};

#[derive(Deserialize)]
#[expect(dead_code, reason = "only their shape matters")]
struct SecretDraft {
    title: String,
    #[serde(default)]
    pages: u16,
    #[serde(default)]
    share: f64,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    author: Option<SecretAuthor>,
    #[serde(default)]
    place: Option<SecretPoint>,
    #[serde(default)]
    kind: Option<SecretKind>,
    #[serde(default)]
    shape: Option<SecretShape>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct SecretAuthor {
    name: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct SecretPoint(f64, f64);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecretKind {
    News,
    Letter,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape matters")]
enum SecretShape {
    Round { radius: f64 },
    Square { side: f64 },
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct SecretPage {
    page: u32,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct SecretRange {
    #[serde(default)]
    low: i8,
    #[serde(default)]
    share: f32,
}

fn app() -> Router {
    Router::new()
        .route(
            "/draft",
            on_post(async |_: OrProblem<Json<SecretDraft>>| ()),
        )
        .route("/list", on_get(async |_: OrProblem<Query<SecretPage>>| ()))
        .route("/odd", on_get(async |_: OrProblem<Query<SecretRange>>| ()))
        .route("/form", on_post(async |_: OrProblem<Form<SecretPage>>| ()))
        .route("/number/{id}", on_get(async |_: OrProblem<Path<u64>>| ()))
        .route(
            "/pair/{id}/{name}",
            on_get(async |_: OrProblem<Path<(i8, String)>>| ()),
        )
}

fn post(uri: &str, content_type: &str, body: &'static str) -> Request<Body> {
    Request::post(uri)
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .unwrap()
}

async fn detail(request: Request<Body>, status: u16) -> String {
    let problem = Answer::from(&app(), request).await.problem(status);
    problem["detail"].as_str().unwrap().to_owned()
}

/// Otherwise an answer would be as long as the request.
#[tokio::test]
async fn of_a_long_value_the_beginning_is_sent_back_and_what_was_expected() {
    let long: &'static str = Box::leak("\u{e9}".repeat(100_000).into_boxed_str());
    let body: &'static str = Box::leak(format!("\"{long}\"").into_boxed_str());
    let kind: &'static str =
        Box::leak(format!(r#"{{"title":"t","kind":"{long}"}}"#).into_boxed_str());
    for (body, expected) in [
        (body, "expected an object"),
        (kind, "expected `news` or `letter`"),
    ] {
        let detail = detail(post("/draft", "application/json", body), 422).await;
        assert!(
            detail.chars().count() < 500,
            "{} characters",
            detail.chars().count()
        );
        assert!(
            detail.contains("\u{e9} … \u{e9}") && detail.contains(expected),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn json_of_the_wrong_shape_is_described_in_the_clients_words() {
    for (body, expected) in [
        ("null", "found null, expected an object"),
        ("7", "found the number `7`, expected an object"),
        ("\"x\"", "found string \"x\", expected an object"),
        (
            r#"{"title":7}"#,
            "title: found the number `7`, expected text",
        ),
        (r#"{"title":[]}"#, "title: found a list, expected text"),
        (
            r#"{"title":"t","pages":-1}"#,
            "pages: found the number `-1`, expected a whole number from 0 to 65535",
        ),
        (
            r#"{"title":"t","pages":1.5}"#,
            "pages: found the number `1.5`, expected a whole number from 0 to 65535",
        ),
        (
            r#"{"title":"t","share":"x"}"#,
            "share: found string \"x\", expected a number",
        ),
        (
            r#"{"title":"t","public":"yes"}"#,
            "public: found string \"yes\", expected true or false",
        ),
        (
            r#"{"title":"t","author":"me"}"#,
            "author: found string \"me\", expected an object",
        ),
        (
            r#"{"title":"t","place":[1]}"#,
            "place: invalid length 1, expected a list with 2 elements",
        ),
        (
            r#"{"title":"t","tags":{}}"#,
            "tags: found an object, expected a list",
        ),
        (
            r#"{"title":"t","kind":"book"}"#,
            "kind: unknown variant `book`, expected `news` or `letter`",
        ),
        (
            r#"{"title":"t","shape":{"x":1}}"#,
            "shape: none of the accepted forms",
        ),
        ("{}", "missing field `title`"),
    ] {
        let detail = detail(post("/draft", "application/json", body), 422).await;
        assert!(
            detail.starts_with(&format!("The JSON does not fit: {expected}")),
            "{body}: {detail}"
        );
        assert!(
            !detail.contains("Secret") && !detail.contains("struct"),
            "{body}: {detail}"
        );
    }
    let detail = detail(post("/draft", "application/json", "{"), 400).await;
    assert!(
        detail.starts_with("The body is not valid JSON: "),
        "{detail}"
    );
}

#[tokio::test]
async fn queries_forms_and_paths_are_described_in_the_clients_words() {
    let form = |body| post("/form", "application/x-www-form-urlencoded", body);
    for (request, status, expected) in [
        (
            get("/list?page=x"),
            400,
            "The query does not fit: page: expected a whole number",
        ),
        (
            get("/list"),
            400,
            "The query does not fit: missing field `page`",
        ),
        (
            form("page=99999999999"),
            422,
            "The form does not fit: page: the number is too large",
        ),
        (
            get("/odd?low=-300"),
            400,
            "The query does not fit: low: the number is too small",
        ),
        (
            get("/odd?share="),
            400,
            "The query does not fit: share: expected a number",
        ),
        (
            get("/number/seven"),
            400,
            "The path does not fit: Cannot parse `seven`: expected a whole number, 0 or greater",
        ),
        (
            get("/pair/900/x"),
            400,
            "The path does not fit: Cannot parse value at index 0 with value `900`: \
             expected a whole number from -128 to 127",
        ),
    ] {
        assert_eq!(detail(request, status).await, expected);
    }
}

#[tokio::test]
async fn a_form_that_is_read_by_hand_is_a_problem_too() {
    let app = Router::new().route("/raw", on_post(async |_: OrProblem<RawForm>| ()));
    let problem = Answer::from(&app, post("/raw", "text/plain", "a=1"))
        .await
        .problem(415);
    assert!(problem["detail"].is_string(), "{problem}");
}

/// Each layer that puts a body around the body hides the error of the limit a bit deeper.
#[tokio::test]
async fn a_body_over_a_limit_is_413_whatever_layers_are_around_the_limit() {
    let by_hand = async |body: Body| -> Result<String, Problem> {
        Ok(axum::body::to_bytes(body, usize::MAX)
            .await?
            .len()
            .to_string())
    };
    let routes = Router::new()
        .route("/bytes", on_post(async |_: OrProblem<Bytes>| ()))
        .route("/text", on_post(async |_: OrProblem<String>| ()))
        .route("/json", on_post(async |_: OrProblem<Json<String>>| ()))
        .route("/hand", on_post(by_hand));
    let wraps =
        || map_request(async |request: Request<Body>| request.map(|body| Body::new(Frames(body))));
    let layered = routes.clone().layer(RequestLayer::new());
    let wrapped = routes
        .clone()
        .layer(wraps())
        .layer(wraps())
        .layer(RequestLayer::new())
        .layer(wraps());
    for app in [routes, layered, wrapped] {
        for path in ["/bytes", "/text", "/json", "/hand"] {
            let chunks = stream::iter([Ok::<_, Infallible>("0123456789")]);
            let body = Body::new(Limited::new(Body::from_stream(chunks), 5));
            let request = Request::post(path)
                .header(CONTENT_TYPE, "application/json")
                .body(body)
                .unwrap();
            let problem = Answer::from(&app, request).await.problem(413);
            assert_eq!(
                problem["detail"], "The body of the request is too large.",
                "{path}"
            );
        }
    }
}

/// A body as a layer of somebody's makes one around another.
struct Frames(Body);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// Somebody opens the address of a socket in a browser.
#[tokio::test]
async fn a_request_that_asks_for_no_websocket_is_told_so_by_a_problem() {
    let chat = async |OrProblem(upgrade): OrProblem<WebSocketUpgrade>| {
        upgrade.on_upgrade(async |_socket| ())
    };
    let app: Router = Router::new().route("/chat", axum::routing::any(chat));
    let problem = Answer::from(&app, get("/chat")).await.problem(400);
    assert_eq!(
        problem["detail"],
        "Connection header did not include 'upgrade'"
    );
    let posted = Request::post("/chat").body(Body::empty()).unwrap();
    Answer::from(&app, posted).await.problem(405);
    // As tests ask, without a connection: all of the request is right, but there is nothing to upgrade.
    let asked = Request::get("/chat")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Body::empty())
        .unwrap();
    Answer::from(&app, asked).await.problem(426);
}
