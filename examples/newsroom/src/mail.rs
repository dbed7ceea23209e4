//! Where mails go: files in the outbox, or a mail server.

mod outbox;
mod smtp;

use std::{fmt, io};

use lettre::Message;
use nexios::PoolError;

pub(crate) use outbox::Outbox;
use smtp::Smtp;
pub use smtp::{SmtpServer, SmtpUrlError};

/// Sends mails.
pub(crate) enum Mailer {
    Outbox(Outbox),
    Smtp(Smtp),
}

impl Mailer {
    pub(crate) fn smtp(server: &SmtpServer) -> Self {
        Mailer::Smtp(server.connect())
    }

    /// Sends one mail; `name` is its file name in the outbox.
    pub(crate) async fn send(&self, name: String, message: Message) -> Result<(), MailError> {
        match self {
            Mailer::Outbox(outbox) => outbox.write(name, message).await,
            Mailer::Smtp(smtp) => smtp.send(message).await,
        }
    }
}

/// Why a mail was not sent.
#[derive(Debug)]
pub(crate) enum MailError {
    /// The server answered, and refused this mail.
    Refused(lettre::transport::smtp::Error),
    /// No server answered: the next mail will fare no better.
    Unreachable(lettre::transport::smtp::Error),
    /// The outbox could not be written.
    File(io::Error),
    /// The threads for files are closed or full.
    Pool(PoolError),
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailError::Refused(error) => write!(f, "refused: {error}"),
            MailError::Unreachable(error) => write!(f, "mail server unreachable: {error}"),
            MailError::File(error) => write!(f, "outbox: {error}"),
            MailError::Pool(error) => write!(f, "outbox: {error}"),
        }
    }
}
