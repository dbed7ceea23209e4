//! A Postgres of the suite's own: in a temporary folder, on a Unix socket, ended with this process.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};
use tempfile::TempDir;

pub(crate) struct Server {
    folder: TempDir,
    /// The command that starts and stops it.
    control: String,
    /// Ends the server when its input is closed, which the end of this process does.
    _keeper: Child,
}

/// The URL of a fresh database; `None` on a machine without Postgres.
pub(crate) async fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start))
        .await
        .expect("a server");
    let Some(server) = server else {
        let said = "skipped: there is no Postgres on this machine";
        println!("{said}");
        let skips = std::env::var_os("NEXIOS_SKIP_NOTHING").is_none();
        assert!(skips, "{said}");
        return None;
    };
    let name = format!("suite_{}", COUNT.fetch_add(1, Ordering::SeqCst));
    let mut connection = connect(&server.url("postgres")).await;
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(create).await.expect("a database");
    connection.close().await.expect("an end");
    Some(server.url(&name))
}

/// Waits until the server is there.
async fn connect(url: &str) -> sqlx::PgConnection {
    let options = PgConnectOptions::from_str(url).expect("a URL");
    for _ in 0..600 {
        if let Ok(connection) = options.connect().await {
            return connection;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("Postgres did not start");
}

impl Server {
    /// One of a test's own, with a fresh database; `None` on a machine without Postgres.
    pub(crate) async fn of_my_own() -> Option<(Self, String)> {
        let server = tokio::task::spawn_blocking(start)
            .await
            .expect("a server")?;
        let url = server.url("postgres");
        connect(&url).await.close().await.expect("an end");
        Some((server, url))
    }

    /// As an operator stops and starts it.
    pub(crate) fn control(&self, what: &str) {
        let command = format!("cd / && {} {what} >/dev/null 2>&1", self.control);
        let done = Command::new("sh").args(["-c", &command]).status();
        assert!(done.expect("a shell").success(), "{what}");
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@localhost/{database}?host={folder}")
    }
}

fn start() -> Option<Server> {
    let binaries = binaries()?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let mut user = String::new();
    if is_root() {
        // The server refuses to run as root.
        let id = id_of("postgres")?;
        chown(path, Some(id), None).expect("an owner");
        user = "setpriv --reuid=postgres --regid=postgres --clear-groups".to_owned();
    }
    let control = format!(
        "{user} {binaries}/pg_ctl -D {path}/data -l {path}/log -w -o '-k {path} -c listen_addresses= -c max_connections=300' ",
        binaries = binaries.display(),
        path = path.display(),
    );
    let script = format!(
        "cd {path}
         {user} {binaries}/initdb -D {path}/data -U postgres -A trust -E UTF8 --no-sync >{path}/initdb 2>&1 || exit 1
         {control} start >/dev/null
         cat >/dev/null
         {control} stop -m immediate >/dev/null 2>&1",
        binaries = binaries.display(),
        path = path.display(),
    );
    let keeper = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    Some(Server {
        folder,
        control,
        _keeper: keeper,
    })
}

/// Debian has them in a folder of their version.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders
        .filter(|folder| folder.join("postgres").exists())
        .max()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn id_of(user: &str) -> Option<u32> {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    line.split(':').nth(2)?.parse().ok()
}
