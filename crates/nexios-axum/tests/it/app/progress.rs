//! `GET /tasks/events` over a socket.

use nexios::Background;
use nexios_axum::task_routes;
use serde_json::Value;

use super::{Client, app, ms, start};

async fn event(client: &mut Client) -> Value {
    let event = client.until(b"\n\n").await;
    let (_, data) = event.split_once("data: ").expect(&event);
    assert!(event.contains("event: task"), "{event}");
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn each_change_of_a_task_is_an_event_until_the_service_closes() {
    let background = Background::new();
    background
        .spawn("over", |_| async {})
        .unwrap()
        .await
        .unwrap();
    let (step, mut steps) = tokio::sync::mpsc::channel(1);
    let task = background
        .spawn("letters", |task| async move {
            task.progress(1, 3);
            while let Some(done) = steps.recv().await {
                task.progress(done, 3);
                task.message(format!("letter {done}"));
            }
        })
        .unwrap();
    let running = start(app(task_routes(background.clone()))).await;
    let mut client = running.client().await;
    client.begin("/tasks/events").await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");

    let first = event(&mut client).await;
    assert_eq!(
        (&first["name"], &first["done"]),
        (&"letters".into(), &1.into()),
        "what had ended is no news"
    );
    step.send(2).await.unwrap();
    let second = event(&mut client).await;
    assert_eq!(
        (&second["id"], &second["done"], &second["message"]),
        (&first["id"], &2.into(), &"letter 2".into())
    );
    drop(step);
    let last = event(&mut client).await;
    assert_eq!(
        (&last["id"], &last["state"]),
        (&first["id"], &"completed".into())
    );
    assert!(task.await.is_ok());

    let report = running.stop().await;
    assert!(
        report.is_clean() && report.elapsed < ms(1_000),
        "{report:?}"
    );
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(
        rest.ends_with("0\r\n\r\n") && !rest.contains("event"),
        "{rest}"
    );
}
