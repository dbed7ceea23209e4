//! Bodies and forms become files while they come, and a file is there as a whole or not at all.

use std::{
    io,
    path::{Component, Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use axum::{
    RequestExt, Router,
    body::Bytes,
    extract::{self, DefaultBodyLimit, Multipart, Request, State},
    response::{Html, Redirect},
    routing::{get, post},
};
use futures_util::{Stream, TryStreamExt};
use nexios::run_in_threadpool;
use nexios_axum::{NexiosApp, OnDisconnect, OrInternal, OrProblem, Problem, RequestLayer, run};
use tempfile::NamedTempFile;
use tokio::{fs::File, io::AsyncWriteExt};

/// What the names of files begin with that are not there as a whole.
pub(crate) const UNFINISHED: &str = ".unfinished-";

#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) directory: PathBuf,
    /// The longest body, in bytes.
    pub(crate) longest: usize,
}

impl Uploads {
    /// Makes the directory, and removes what a process has left there that was killed.
    fn open(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        for file in self.directory.read_dir()? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Where a file of that name belongs.
    fn place(&self, name: &str) -> Result<PathBuf, Problem> {
        let mut components = Path::new(name).components();
        match (components.next(), components.next()) {
            // A name that is longer than its only component has a slash at its end.
            (Some(Component::Normal(file)), None)
                if file == name && !name.starts_with(UNFINISHED) =>
            {
                Ok(self.directory.join(file))
            }
            _ => Err(Problem::bad_request("Invalid path")),
        }
    }

    async fn save<E>(
        &self,
        name: &str,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), Problem>
    where
        Problem: From<E>,
    {
        let place = self.place(name)?;
        let directory = self.directory.clone();
        let made = run_in_threadpool(move || {
            let unfinished = NamedTempFile::with_prefix_in(UNFINISHED, directory)?;
            let file = unfinished.reopen()?;
            Ok::<_, io::Error>((unfinished, file))
        });
        // Dropped before it has its place, it is removed.
        let (unfinished, file) = made.await.or_internal()?;
        let (mut file, mut content) = (File::from_std(file), pin!(content));
        while let Some(bytes) = content.try_next().await? {
            file.write_all(&bytes).await.or_internal()?;
        }
        file.sync_all().await.or_internal()?;
        run_in_threadpool(move || unfinished.persist(place))
            .await
            .or_internal()?;
        Ok(())
    }
}

async fn show_form() -> Html<&'static str> {
    Html(
        r#"<!doctype html>
<title>Upload something!</title>
<form action="/" method="post" enctype="multipart/form-data">
  <label>Upload file: <input type="file" name="file" multiple></label>
  <input type="submit" value="Upload files">
</form>
"#,
    )
}

async fn save_form(
    State(uploads): State<Uploads>,
    OrProblem(mut form): OrProblem<Multipart>,
) -> Result<Redirect, Problem> {
    while let Some(field) = form.next_field().await? {
        if let Some(name) = field.file_name().map(str::to_owned) {
            uploads.save(&name, field).await?;
        }
    }
    Ok(Redirect::to("/"))
}

async fn save_body(
    OrProblem(extract::Path(name)): OrProblem<extract::Path<String>>,
    State(uploads): State<Uploads>,
    request: Request,
) -> Result<(), Problem> {
    let body = request.into_limited_body();
    uploads.save(&name, body.into_data_stream()).await
}

/// `patience`: how long an upload may take as a whole.
pub(crate) fn app(uploads: Uploads, patience: Duration) -> NexiosApp {
    let opened = uploads.clone();
    let router = Router::new()
        .route("/", get(show_form).post(save_form))
        .route("/file/{file_name}", post(save_body))
        .layer(DefaultBodyLimit::max(uploads.longest))
        // What has come so far is of no use.
        .layer(OnDisconnect::Immediate)
        .with_state(uploads);
    NexiosApp::new(router)
        .requests(RequestLayer::new().deadline(patience))
        .on_startup("open uploads", async move || opened.open())
}

pub(crate) fn main() -> ExitCode {
    let uploads = Uploads {
        directory: PathBuf::from("uploads"),
        longest: 1 << 30,
    };
    run(app(uploads, Duration::from_secs(600)).serve("127.0.0.1:3000"))
}
