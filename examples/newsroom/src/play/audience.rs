//! Those who ask the service, over HTTP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::http::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use tokio::time::{Instant, sleep, timeout};

/// Nobody waits longer, whatever the service does.
const LONGEST: Duration = Duration::from_secs(10);
/// When somebody who was turned away comes again.
const AGAIN: Duration = Duration::from_millis(200);

const BOUNDARY: &str = "a-picture-and-nothing-else";

pub(super) struct Audience {
    http: Client,
    service: SocketAddr,
}

impl Audience {
    /// Of a service that listens there; one that listens on every interface is asked on this machine's own.
    pub(super) fn of(mut address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        let http = Client::builder().no_proxy().timeout(LONGEST).build();
        Audience {
            http: http.expect("a client without TLS has nothing to load"),
            service: address,
        }
    }

    pub(super) async fn get(&self, path: &str) {
        answered(self.http.get(self.url(path))).await;
    }

    pub(super) async fn post(&self, path: &str) {
        answered(self.http.post(self.url(path))).await;
    }

    /// Asks, and closes the connection when it has taken so long.
    pub(super) async fn leave(&self, path: &str, patience: Duration) {
        // Late is what it is meant to be.
        let _ = timeout(patience, self.get(path)).await;
    }

    /// Brings the picture again and again for a while.
    pub(super) async fn upload_for(&self, time: Duration, picture: &[u8]) {
        let form = form(picture);
        let end = Instant::now() + time;
        while Instant::now() < end {
            let request = self.http.post(self.url("/upload")).header(
                CONTENT_TYPE,
                format!("multipart/form-data; boundary={BOUNDARY}"),
            );
            answered(request.body(form.clone())).await;
            sleep(AGAIN).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service)
    }
}

/// Reads the answer to its end. A bad one is part of the scene, and one that does not come is seen in the console.
async fn answered(request: RequestBuilder) {
    if let Ok(answer) = request.send().await {
        let _ = answer.bytes().await;
    }
}

fn form(picture: &[u8]) -> axum::body::Bytes {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"photo.jpg\"\r\n\r\n"
    );
    [
        head.as_bytes(),
        picture,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat()
    .into()
}
