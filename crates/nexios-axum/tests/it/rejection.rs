//! What a client is told whose request cannot be read: in its own words, without a name of ours.

use axum::{
    Json, Router,
    body::Body,
    extract::{Form, Path, Query},
    http::{Request, header::CONTENT_TYPE},
    routing::{get as on_get, post as on_post},
};
use nexios_axum::OrProblem;
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

fn app() -> Router {
    Router::new()
        .route("/draft", on_post(async |_: OrProblem<Json<SecretDraft>>| ()))
        .route("/list", on_get(async |_: OrProblem<Query<SecretPage>>| ()))
        .route("/form", on_post(async |_: OrProblem<Form<SecretPage>>| ()))
        .route("/number/{id}", on_get(async |_: OrProblem<Path<u64>>| ()))
        .route("/pair/{id}/{name}", on_get(async |_: OrProblem<Path<(i8, String)>>| ()))
}

fn post(uri: &str, content_type: &str, body: &'static str) -> Request<Body> {
    Request::post(uri).header(CONTENT_TYPE, content_type).body(Body::from(body)).unwrap()
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
    let kind: &'static str = Box::leak(format!(r#"{{"title":"t","kind":"{long}"}}"#).into_boxed_str());
    for (body, expected) in [(body, "expected an object"), (kind, "expected `news` or `letter`")] {
        let detail = detail(post("/draft", "application/json", body), 422).await;
        assert!(detail.chars().count() < 500, "{} characters", detail.chars().count());
        assert!(detail.contains("\u{e9} … \u{e9}") && detail.contains(expected), "{detail}");
    }
}

#[tokio::test]
async fn json_of_the_wrong_shape_is_described_in_the_clients_words() {
    for (body, expected) in [
        ("null", "found null, expected an object"),
        ("7", "found the number `7`, expected an object"),
        ("\"x\"", "found string \"x\", expected an object"),
        (r#"{"title":7}"#, "title: found the number `7`, expected text"),
        (r#"{"title":[]}"#, "title: found a list, expected text"),
        (
            r#"{"title":"t","pages":-1}"#,
            "pages: found the number `-1`, expected a whole number from 0 to 65535",
        ),
        (
            r#"{"title":"t","pages":1.5}"#,
            "pages: found the number `1.5`, expected a whole number from 0 to 65535",
        ),
        (r#"{"title":"t","share":"x"}"#, "share: found string \"x\", expected a number"),
        (r#"{"title":"t","public":"yes"}"#, "public: found string \"yes\", expected true or false"),
        (r#"{"title":"t","author":"me"}"#, "author: found string \"me\", expected an object"),
        (r#"{"title":"t","place":[1]}"#, "place: invalid length 1, expected a list with 2 elements"),
        (r#"{"title":"t","tags":{}}"#, "tags: found an object, expected a list"),
        (r#"{"title":"t","kind":"book"}"#, "kind: unknown variant `book`, expected `news` or `letter`"),
        (r#"{"title":"t","shape":{"x":1}}"#, "shape: none of the accepted forms"),
        ("{}", "missing field `title`"),
    ] {
        let detail = detail(post("/draft", "application/json", body), 422).await;
        assert!(detail.starts_with(&format!("The JSON does not fit: {expected}")), "{body}: {detail}");
        assert!(!detail.contains("Secret") && !detail.contains("struct"), "{body}: {detail}");
    }
    let detail = detail(post("/draft", "application/json", "{"), 400).await;
    assert!(detail.starts_with("The body is not valid JSON: "), "{detail}");
}

#[tokio::test]
async fn queries_forms_and_paths_are_described_in_the_clients_words() {
    let form = |body| post("/form", "application/x-www-form-urlencoded", body);
    for (request, status, expected) in [
        (get("/list?page=x"), 400, "The query does not fit: page: expected a whole number"),
        (get("/list"), 400, "The query does not fit: missing field `page`"),
        (form("page=99999999999"), 422, "The form does not fit: page: the number is too large"),
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
