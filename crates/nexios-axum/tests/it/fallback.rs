use axum::{Router, routing::get as on_get};
use nexios_axum::{method_not_allowed, not_found};

use crate::answer::{Answer, get, post};

fn app() -> Router {
    Router::new()
        .route("/", on_get(async || "here"))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

#[tokio::test]
async fn an_unknown_path_is_a_404_problem() {
    let problem = Answer::from(&app(), get("/nowhere?secret=1"))
        .await
        .problem(404);
    assert_eq!(problem["path"], "/nowhere");
}

#[tokio::test]
async fn an_unknown_path_below_another_is_named_as_it_was_asked_for() {
    let below = Router::new()
        .route("/orders", on_get(async || "here"))
        .fallback(not_found);
    let app = Router::new().nest("/shop", below);
    let answer = Answer::from(&app, get("/shop/nowhere")).await;
    assert_eq!(answer.problem(404)["path"], "/shop/nowhere");
}

#[tokio::test]
async fn an_answer_is_never_as_long_as_the_request() {
    let path = format!("/{}/end", "p".repeat(10_000));
    let answer = Answer::from(&app(), get(&path)).await;
    assert!(answer.body.len() < 1_000, "{}", answer.body);
    let kept = answer.problem(404)["path"].as_str().unwrap().to_owned();
    assert!(
        kept.starts_with("/ppp") && kept.ends_with("pp/end"),
        "{kept}"
    );
    let mut request = get("/");
    *request.method_mut() = "M".repeat(10_000).parse().unwrap();
    let answer = Answer::from(&app(), request).await;
    assert!(answer.body.len() < 1_000, "{}", answer.body);
    answer.problem(405);
}

#[tokio::test]
async fn a_wrong_method_is_a_405_problem_that_tells_the_right_ones() {
    let answer = Answer::from(&app(), post("/")).await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}
