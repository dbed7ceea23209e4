//! Mails as files, one folder for each newsletter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lettre::Message;
use nexios::ThreadPool;

use super::MailError;
use crate::whole_file;

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
        let folder = self.folder.clone();
        let written = self
            .threads
            .run(move || write(&folder, &name, &message))
            .await;
        let written = written.map_err(MailError::Pool)?;
        written.map_err(MailError::File)
    }
}

/// A mail that was cut off, by a full disk or the end of the process, is none.
fn write(outbox: &Path, name: &str, message: &Message) -> io::Result<()> {
    let path = outbox.join(name).with_extension("eml");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    whole_file::write(outbox, &path, &message.formatted())
}
