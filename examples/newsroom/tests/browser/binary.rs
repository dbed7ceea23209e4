//! The service in a process of its own, which can be killed.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use clap::Parser;
use newsroom::{Config, prepare};
use tempfile::TempDir;

use crate::stage::SMALL;

pub(crate) struct Binary {
    process: Child,
    /// `http://127.0.0.1:` and a port.
    pub(crate) address: String,
}

/// A folder with small data.
pub(crate) fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::parse_from(["newsroom"]);
    config.data = folder.path().join("data");
    config.sizes = SMALL;
    prepare(&config).unwrap();
    folder
}

impl Binary {
    pub(crate) fn start(folder: &TempDir, listen: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_newsroom"))
            .args(["--listen", listen, "--accepting", "0", "--data"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line);
        Binary {
            address: address.trim_end_matches('/').to_owned(),
            process,
        }
    }

    /// The address of the sums.
    pub(crate) fn daily(&self) -> String {
        format!("{}/analytics/daily", self.address)
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn end(&mut self, signal: &str) {
        let kill = Command::new("kill")
            .args(["-s", signal, &self.process.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        self.process.wait().unwrap();
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
