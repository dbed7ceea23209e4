//! Mails as files, one folder for each newsletter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lettre::Message;
use nexios::ThreadPool;

use super::MailError;

/// A folder of `.eml` files.
///
/// A mail's name is its identity: writing it again replaces the file and never makes a second mail.
pub(crate) struct Outbox {
    folder: PathBuf,
    threads: ThreadPool,
}

impl Outbox {
    pub(crate) fn new(folder: PathBuf, threads: ThreadPool) -> Self {
        Outbox { folder, threads }
    }

    pub(crate) async fn write(&self, name: String, message: Message) -> Result<(), MailError> {
        let path = self.folder.join(name).with_extension("eml");
        let written = self.threads.run(move || write(&path, &message)).await.map_err(MailError::Pool)?;
        written.map_err(MailError::File)
    }
}

/// A mail that was cut off, by a full disk or the end of the process, is none: it gets its name when it is complete.
fn write(path: &Path, message: &Message) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, message.formatted())?;
    fs::rename(partial, path)
}
