//! Chromium's debugging protocol: calls with answers, and events.
//!
//! A crate for it would bring the whole protocol as generated code, which takes longer to compile than all else here; a dozen
//! calls are used.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot, task::AbortHandle, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A browser that takes longer to answer has hung; the machine may be busy.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) struct Protocol {
    calls: tokio::sync::Mutex<SplitSink<Socket, Message>>,
    last: AtomicU64,
    heard: Arc<Heard>,
    reading: AbortHandle,
}

#[derive(Default)]
struct Heard {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
}

impl Protocol {
    pub(crate) async fn connect(address: &str) -> Self {
        let (socket, _) = connect_async(address).await.unwrap();
        let (calls, mut messages) = socket.split();
        let heard = Arc::new(Heard::default());
        let hearing = heard.clone();
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                let said: Value = serde_json::from_str(&text).unwrap();
                match said["id"].as_u64() {
                    Some(id) => {
                        let waits = hearing.waiting.lock().unwrap().remove(&id);
                        // Whoever asked may have given up.
                        waits.map(|waits| waits.send(said));
                    }
                    None => hearing.events.lock().unwrap().push(said),
                }
            }
        });
        Protocol {
            calls: tokio::sync::Mutex::new(calls),
            last: AtomicU64::new(0),
            heard,
            reading: reading.abort_handle(),
        }
    }

    /// Calls a method, in a session with a page or of the browser itself.
    pub(crate) async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut call = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        let (answers, answer) = oneshot::channel();
        self.heard.waiting.lock().unwrap().insert(id, answers);
        let message = Message::text(call.to_string());
        self.calls.lock().await.send(message).await.unwrap();
        let mut said = timeout(LONGEST, answer).await.expect(method).expect(method);
        assert!(said.get("error").is_none(), "{method}: {said}");
        said["result"].take()
    }

    /// The events of a session that were not forgotten.
    pub(crate) fn events(&self, session: &str) -> Vec<Value> {
        let events = self.heard.events.lock().unwrap();
        let of_session = events.iter().filter(|event| event["sessionId"] == session);
        of_session.cloned().collect()
    }

    pub(crate) fn forget_events(&self, session: &str, method: &str) {
        let mut events = self.heard.events.lock().unwrap();
        events.retain(|event| event["sessionId"] != session || event["method"] != method);
    }
}

impl Drop for Protocol {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
