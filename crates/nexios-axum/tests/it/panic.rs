use nexios_axum::panic_response;

use crate::answer::Answer;

#[tokio::test]
async fn a_panic_is_500_with_an_id_and_without_its_message() {
    for payload in [
        Box::new("row 7 of secrets") as _,
        Box::new(String::from("row 7 of secrets")) as _,
        Box::new(7) as _,
    ] {
        let answer = Answer::of(panic_response(payload)).await;
        assert!(answer.problem(500)["id"].is_string());
        assert!(!answer.body.contains("secrets"), "{}", answer.body);
    }
}
