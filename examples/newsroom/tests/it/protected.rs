use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    log,
    service::{Service, eventually, serve},
};

async fn counters(service: &Service) -> Value {
    service.get("/tasks/status").await.ok(200)["protected_operation"].clone()
}

#[tokio::test]
async fn both_operations_make_an_edition_and_are_cleaned_up() {
    let service = Service::new();
    let edition = service.get("/protected-operation?mode=ok").await.ok(200);
    assert_eq!(
        edition,
        json!({ "front_page": "reserved", "copies": 10_000 })
    );
    assert_eq!(
        counters(&service).await,
        json!({ "started": 1, "cleanups": 1, "disconnects": 0 })
    );
    service.get("/protected-operation").await.ok(200);
}

#[tokio::test]
async fn a_failure_is_logged_and_answered_plainly_after_the_cleanup() {
    let service = Service::new();
    let problem = service
        .get("/protected-operation?mode=fail")
        .await
        .problem(500);
    assert!(!problem.to_string().contains("paper"), "{problem}");
    assert_eq!(
        counters(&service).await,
        json!({ "started": 1, "cleanups": 1, "disconnects": 0 })
    );
    let lines = log::lines_with(problem["id"].as_str().unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(
        lines[0]["cause"].as_str().unwrap().contains("paper jam"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn an_unknown_mode_is_400() {
    Service::new()
        .get("/protected-operation?mode=maybe")
        .await
        .problem(400);
}

/// On a real socket: hyper drops the handler when the client closes, and the request layer lets it clean up.
#[tokio::test]
async fn a_client_that_goes_away_is_499_in_the_log_and_the_cleanup_runs() {
    let service = Service::new();
    let mut client = TcpStream::connect(serve(service.app.clone()).await)
        .await
        .unwrap();
    let request = "GET /protected-operation?mode=hang HTTP/1.1\r\nhost: x\r\nx-request-id: gone-away-1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let hanging = async || (counters(&service).await["started"] == 1).then_some(());
    eventually(hanging).await;
    assert_eq!(
        counters(&service).await,
        json!({ "started": 1, "cleanups": 0, "disconnects": 0 })
    );

    drop(client);
    let counted = async || (counters(&service).await["disconnects"] == 1).then_some(());
    eventually(counted).await;
    assert_eq!(
        counters(&service).await,
        json!({ "started": 1, "cleanups": 1, "disconnects": 1 })
    );
    let lines = log::lines_with("gone-away-1");
    assert!(lines.iter().any(|line| line["status"] == 499), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "protected operation cleaned up"),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_hangs_for_longer_than_a_minute() {
    let service = Service::new();
    service
        .get("/protected-operation?mode=hang")
        .await
        .problem(504);
    // The status has newsletters too, which are in a database: that takes real time.
    tokio::time::resume();
    assert_eq!(
        counters(&service).await,
        json!({ "started": 1, "cleanups": 1, "disconnects": 0 })
    );
}
