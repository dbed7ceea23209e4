use axum::{
    Extension, Form, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query},
    http::{Request, header::CONTENT_TYPE},
    routing::{get as on_get, post as on_post},
};
use nexios_axum::OrProblem;
use serde::Deserialize;

use crate::answer::{Answer, get};

#[derive(Deserialize)]
struct Name {
    #[expect(dead_code, reason = "only its presence matters")]
    name: String,
}

#[derive(Clone)]
struct Missing;

fn app() -> Router {
    Router::new()
        .route("/path/{id}", on_get(async |_: OrProblem<Path<u64>>| ()))
        .route("/query", on_get(async |_: OrProblem<Query<Name>>| ()))
        .route("/json", on_post(async |_: OrProblem<Json<Name>>| ()))
        .route("/form", on_post(async |_: OrProblem<Form<Name>>| ()))
        .route("/text", on_post(async |_: OrProblem<String>| ()))
        .route(
            "/bytes",
            on_post(async |_: OrProblem<Bytes>| ()).layer(DefaultBodyLimit::max(4)),
        )
        .route(
            "/extension",
            on_get(async |_: OrProblem<Extension<Missing>>| ()),
        )
}

async fn post(uri: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(uri)
        .header(CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap();
    Answer::from(&app(), request).await
}

#[tokio::test]
async fn what_can_be_extracted_is_extracted() {
    assert_eq!(Answer::from(&app(), get("/path/7")).await.status, 200);
    assert_eq!(Answer::from(&app(), get("/query?name=x")).await.status, 200);
    assert_eq!(
        post("/json", "application/json", r#"{"name":"x"}"#)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_bad_path_is_a_problem() {
    Answer::from(&app(), get("/path/seven")).await.problem(400);
}

#[tokio::test]
async fn a_bad_query_is_a_problem_that_names_the_field() {
    let problem = Answer::from(&app(), get("/query")).await.problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("name"),
        "{problem}"
    );
}

#[tokio::test]
async fn bad_json_is_400_the_wrong_shape_422_and_another_type_415() {
    post("/json", "application/json", "{").await.problem(400);
    post("/json", "application/json", "{}").await.problem(422);
    post("/json", "text/plain", "{}").await.problem(415);
}

#[tokio::test]
async fn a_bad_form_is_a_problem() {
    post("/form", "application/x-www-form-urlencoded", "nome=x")
        .await
        .problem(422);
    post("/form", "text/plain", "name=x").await.problem(415);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_a_problem() {
    post("/text", "text/plain", vec![0xff]).await.problem(400);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    post("/bytes", "text/plain", "12345").await.problem(413);
}

#[tokio::test]
async fn a_mistake_of_our_own_does_not_show() {
    let answer = Answer::from(&app(), get("/extension")).await;
    assert!(!answer.body.contains("Missing"), "{}", answer.body);
    assert!(answer.problem(500)["id"].is_string());
}
