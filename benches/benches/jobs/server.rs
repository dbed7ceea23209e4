//! A Postgres of the run's own, as Debian installs it: on a Unix socket, with the settings it comes with.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

pub(crate) struct Server {
    folder: TempDir,
    binaries: PathBuf,
}

impl Server {
    /// Starts one with its data in this folder.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").context("no Postgres")?;
        let binaries = versions.flatten().map(|version| version.path().join("bin"));
        let server = Self {
            binaries: binaries.max().context("no Postgres")?,
            folder: TempDir::new_in(folder)?,
        };
        let path = server.folder.path();
        if File::open("/proc/self/stat")?.metadata()?.uid() == 0 {
            // The server refuses to run as root.
            let users = std::fs::read_to_string("/etc/passwd")?;
            let line = users.lines().find(|line| line.starts_with("postgres:"));
            let id = line
                .and_then(|line| line.split(':').nth(2))
                .context("no user")?;
            chown(path, Some(id.parse()?), None)?;
        }
        let data = path.join("data");
        let data = data.to_string_lossy();
        server.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
        )?;
        let settings = format!("-k {} -c listen_addresses=", path.display());
        let log = path.join("log");
        server.run(
            "pg_ctl",
            &[
                "-D",
                &data,
                "-l",
                &log.to_string_lossy(),
                "-w",
                "-o",
                &settings,
                "start",
            ],
        )?;
        Ok(server)
    }

    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<()> {
        let program = self.binaries.join(program);
        let mut command = if File::open("/proc/self/stat")?.metadata()?.uid() == 0 {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path()).args(args);
        let log = File::create(self.folder.path().join("said"))?;
        let status = command.stdout(log.try_clone()?).stderr(log).status()?;
        ensure!(status.success(), "{command:?}");
        Ok(())
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@localhost/{database}?host={folder}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = self.run(
            "pg_ctl",
            &["-D", &data.to_string_lossy(), "-m", "immediate", "stop"],
        );
    }
}
