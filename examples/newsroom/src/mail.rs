//! Where mails go: files in the outbox, or a mail server.

mod bounded;
mod outbox;
mod server;
mod smtp;

use std::{error::Error, fmt, io, time::Duration};

use lettre::Message;
use nexios::{CancelToken, PoolError};

pub(crate) use outbox::Outbox;
pub use server::{SmtpServer, SmtpUrlError};
pub(crate) use smtp::NoServer;

/// Sends mails.
pub(crate) enum Mailer {
    Outbox(Outbox),
    Smtp {
        server: SmtpServer,
        /// How long one mail may take.
        limit: Duration,
    },
}

impl Mailer {
    /// Makes a sender for the mails of one newsletter; it connects with the first of them.
    pub(crate) fn postman(&self) -> Postman<'_> {
        match self {
            Mailer::Outbox(outbox) => Postman::Outbox(outbox),
            Mailer::Smtp { server, limit } => Postman::Smtp(smtp::Session::new(server, *limit)),
        }
    }
}

/// Sends mails, one after the other.
pub(crate) enum Postman<'a> {
    Outbox(&'a Outbox),
    Smtp(smtp::Session<'a>),
}

impl Postman<'_> {
    /// Sends one mail; `name` is its file name in the outbox.
    ///
    /// `claim` is awaited when nothing but the text is left to be sent, and says whether it may be: nothing is sent twice by two
    /// who both were about to. It ends soon after `stop` fires, whatever the mail server does, and knows what became of the mail.
    pub(crate) async fn send(
        &mut self,
        name: String,
        message: Message,
        stop: &CancelToken,
        claim: impl Future<Output = bool>,
    ) -> Result<(), MailError> {
        match self {
            Postman::Outbox(outbox) => {
                if !claim.await {
                    return Err(MailError::Unclaimed);
                }
                outbox.write(name, message).await
            }
            Postman::Smtp(session) => session.send(&message, stop, claim).await,
        }
    }

    /// Says goodbye, for a moment at most.
    pub(crate) async fn leave(self) {
        if let Postman::Smtp(session) = self {
            session.quit().await;
        }
    }
}

/// Why a mail was not sent, or may not have been.
#[derive(Debug)]
pub(crate) enum MailError {
    /// The mail cannot be addressed.
    Address(Box<dyn Error + Send + Sync>),
    /// The server will never take this mail.
    Refused(lettre::transport::smtp::Error),
    /// The server does not take this mail now.
    Deferred(lettre::transport::smtp::Error),
    /// The server does not know addresses of that alphabet.
    NotAscii,
    /// No server took part: the mail did not go out, and the next one will fare no better.
    NoServer(NoServer),
    /// The text went out and nobody said what became of it.
    InDoubt(Box<dyn Error + Send + Sync>),
    /// The sender was told to stop, and the mail did not go out.
    Stopped,
    /// The mail is not ours to send, and did not go out.
    Unclaimed,
    /// The outbox could not be written.
    File(io::Error),
    /// The threads for files are closed or full.
    Pool(PoolError),
}

impl MailError {
    /// What anybody may know: no address, no path, nothing that the server said.
    pub(crate) fn in_short(&self) -> String {
        match self {
            MailError::Address(_) => "has a bad address".to_owned(),
            MailError::Refused(error) | MailError::Deferred(error) => match error.status() {
                Some(code) => format!("was refused with {code}"),
                None => "was refused".to_owned(),
            },
            MailError::NotAscii => "has an address that the mail server cannot read".to_owned(),
            MailError::NoServer(server) => format!("was not sent: {}", server.in_short()),
            MailError::InDoubt(_) => "is in doubt".to_owned(),
            MailError::Stopped => "was stopped".to_owned(),
            MailError::Unclaimed => "is another's".to_owned(),
            MailError::File(_) => "could not be written to the outbox".to_owned(),
            MailError::Pool(_) => "found no thread to write it".to_owned(),
        }
    }
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailError::Address(error) => write!(f, "bad address: {error}"),
            MailError::Refused(error) => write!(f, "refused: {error}"),
            MailError::Deferred(error) => write!(f, "refused for now: {error}"),
            MailError::NotAscii => {
                f.write_str("refused: the mail server knows no address of that alphabet")
            }
            MailError::NoServer(error) => error.fmt(f),
            MailError::InDoubt(error) => write!(f, "in doubt: the text went out, then {error}"),
            MailError::Stopped => f.write_str("stopped"),
            MailError::Unclaimed => f.write_str("another's"),
            MailError::File(error) => write!(f, "outbox: {error}"),
            MailError::Pool(error) => write!(f, "outbox: {error}"),
        }
    }
}
