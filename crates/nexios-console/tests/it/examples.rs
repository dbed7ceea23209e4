//! The examples do what they say.

#[path = "../../examples/jobs.rs"]
#[allow(dead_code, reason = "its `main`")]
mod jobs;

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn jobs_of_the_example_are_on_its_page_and_it_ends_in_order() {
    let app = jobs::app().without_signals();
    let handle = app.handle();
    let served = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.and_then(|address| address.tcp());
    let mut connection = TcpStream::connect(address.unwrap()).await.unwrap();
    let request = "GET /nexios/background HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).await.unwrap();
    assert!(
        page.contains("<span class=\"name\">send letter</span>"),
        "{page}"
    );
    assert_eq!(page.matches("data-job-id").count(), 8);
    handle.stop();
    // Neither the console nor whoever looks at jobs holds it up.
    let stopped = tokio::time::timeout(Duration::from_secs(60), served).await;
    assert!(stopped.unwrap().unwrap().is_ok());
}
