//! Chromium, if it is there.

use std::{
    env,
    io::{self, BufRead, BufReader, ErrorKind, Write},
    process::{Child, ChildStderr, Command, Stdio},
    sync::Arc,
    thread,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{page::Page, protocol::Protocol};

/// What it is called on the systems that have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with nothing of its user's; it ends when this is dropped.
pub(crate) struct Browser {
    process: Child,
    protocol: Arc<Protocol>,
    _profile: TempDir,
}

impl Browser {
    /// None, and a word about it, where there is no Chromium.
    pub(crate) async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let Some(mut process) = NAMES.iter().find_map(|name| start(name, &profile)) else {
            let said = "SKIPPED: there is no chromium, the console was not looked at in a browser";
            assert!(env::var_os("NEXIOS_SKIP_NOTHING").is_none(), "{said}");
            // Not by a macro, whose lines are seen with `--nocapture` only.
            let _ = writeln!(io::stderr(), "{said}");
            return None;
        };
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let address = listening(&mut said);
        // It would wait if nobody heard what it says.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        let browser = Browser {
            protocol: Arc::new(Protocol::connect(&address).await),
            process,
            _profile: profile,
        };
        Some(browser)
    }

    /// Opens a page of its own, which shares nothing with others.
    pub(crate) async fn page(&self) -> Page {
        let call = async |method, params| self.protocol.call(None, method, params).await;
        let context = call("Target.createBrowserContext", json!({})).await;
        let context = &context["browserContextId"];
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = call("Target.createTarget", target).await;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = call("Target.attachToTarget", target).await;
        let session = session["sessionId"].as_str().unwrap();
        Page::new(self.protocol.clone(), session.to_owned()).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(name: &str, profile: &TempDir) -> Option<Child> {
    let mut command = Command::new(name);
    command
        .args([
            "--headless",
            "--remote-debugging-port=0",
            "--no-first-run",
            "--hide-scrollbars",
            // Containers have little shared memory, and no rights to make a sandbox.
            "--disable-dev-shm-usage",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            // A name that is not ours, and leads to this machine.
            "--host-resolver-rules=MAP rebound.example 127.0.0.1",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(process) => Some(process),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// The address of the debugging port, which is among what it says.
fn listening(said: &mut BufReader<ChildStderr>) -> String {
    let mut before = String::new();
    loop {
        let mut line = String::new();
        let read = said.read_line(&mut line).unwrap();
        assert_ne!(read, 0, "chromium did not start: {before}");
        if let Some(address) = line.trim().strip_prefix("DevTools listening on ") {
            return address.to_owned();
        }
        before.push_str(&line);
    }
}
