//! Mails by SMTP.
//!
//! The conversation is held here and not by lettre's transport, for two reasons. Only who sends the text knows
//! whether a mail that was cut off is in doubt. And the transport's pool takes back a connection whose
//! conversation was dropped in its middle: the next mail would read the answers to this one.

use std::{error::Error, fmt, io, time::Duration};

use lettre::{
    Address, Message,
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::DEFAULT_MECHANISMS,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailParameter},
        response::Severity,
    },
};
use nexios::CancelToken;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{MailError, bounded::BoundedReplies, server::SmtpServer};

/// How long a server that has the text may still answer after the stop. A server that is well does within
/// this, and the mail is not in doubt.
const LAST_WORD: Duration = Duration::from_millis(500);
/// "Service not available, closing": RFC 5321 allows it as the answer to anything, and it is not about the mail.
const CLOSING: u16 = 421;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A conversation with a mail server about one mail after the other.
pub(crate) struct Session<'a> {
    server: &'a SmtpServer,
    /// How long one mail may take.
    limit: Duration,
    /// Open, and between two mails. Whoever uses it takes it out, so that one left in the middle of a mail is closed.
    idle: Option<AsyncSmtpConnection>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(server: &'a SmtpServer, limit: Duration) -> Self {
        Session {
            server,
            limit,
            idle: None,
        }
    }

    /// Sends one mail, within the limit and until soon after `stop` fires.
    pub(crate) async fn send(
        &mut self,
        message: &Message,
        stop: &CancelToken,
        claim: impl Future<Output = bool>,
    ) -> Result<(), MailError> {
        let deadline = Instant::now() + self.limit;
        let stopped = async {
            let _reason = stop.cancelled().await;
        };
        // Until its text goes out, a mail that is cut off was not sent.
        let mut connection = match within(deadline, stopped, self.offer(message.envelope())).await {
            Ok(offered) => offered?,
            Err(Cut::Late) => return Err(MailError::NoServer(NoServer::Silent)),
            Err(Cut::Stopped) => return Err(MailError::Stopped),
        };
        // The conversation ends here, as there is nothing to say that would not be a mail.
        if !claim.await {
            return Err(MailError::Unclaimed);
        }
        let stopped = async {
            stop.cancelled().await;
            sleep(LAST_WORD).await;
        };
        let text = message.formatted();
        match within(deadline, stopped, connection.message(&text)).await {
            Ok(Ok(answer)) if answer.code().severity == Severity::PositiveCompletion => {
                self.idle = Some(connection);
                Ok(())
            }
            // lettre takes every good answer for the right one; this one belongs to something else.
            Ok(Ok(_)) => Err(MailError::InDoubt(
                "the mail server did not say that it has the mail".into(),
            )),
            Ok(Err(error)) if error.status().is_some() => match no(error) {
                error @ MailError::NoServer(_) => Err(error),
                refusal => {
                    self.idle = Some(connection);
                    Err(refusal)
                }
            },
            Ok(Err(error)) => Err(MailError::InDoubt(error.into())),
            Err(Cut::Late) => Err(MailError::InDoubt(
                "the mail server did not answer in time".into(),
            )),
            Err(Cut::Stopped) => Err(MailError::InDoubt("the newsletter was stopped".into())),
        }
    }

    /// Says goodbye, if there is somebody to hear it.
    pub(crate) async fn quit(self) {
        if let Some(mut connection) = self.idle {
            // A server that hangs up without its own goodbye has lost nothing.
            let _ = timeout(GOODBYE, connection.quit()).await;
        }
    }

    /// Goes as far as the server's word that it takes the text.
    async fn offer(&mut self, envelope: &Envelope) -> Result<AsyncSmtpConnection, MailError> {
        let mut connection = self.connection().await.map_err(MailError::NoServer)?;
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let mut parameters = Vec::new();
        if !envelope.from().is_none_or(is_ascii) || !envelope.to().iter().all(is_ascii) {
            if !connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight)
            {
                self.idle = Some(connection);
                return Err(MailError::NotAscii);
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let offered = async {
            // Who may not send this one may not send the next one either.
            let sender = connection
                .command(Mail::new(envelope.from().cloned(), parameters))
                .await;
            sender.map_err(|error| {
                if error.is_permanent() {
                    NoServer::Smtp(error).into()
                } else {
                    no(error)
                }
            })?;
            for recipient in envelope.to() {
                connection
                    .command(Rcpt::new(recipient.clone(), Vec::new()))
                    .await
                    .map_err(no)?;
            }
            connection.command(Data).await.map_err(no)
        };
        match offered.await {
            Ok(answer) if answer.code().severity == Severity::PositiveIntermediate => {
                Ok(connection)
            }
            Ok(_) => Err(NoServer::OutOfStep.into()),
            // What is left of the conversation cannot be used.
            Err(error @ MailError::NoServer(_)) => Err(error),
            Err(refusal) => {
                self.idle = Some(connection);
                Err(refusal)
            }
        }
    }

    /// The open connection, if it still is one, or else a new one.
    async fn connection(&mut self) -> Result<AsyncSmtpConnection, NoServer> {
        if let Some(mut connection) = self.idle.take()
            && connection.command(Rset).await.is_ok()
        {
            return Ok(connection);
        }
        let SmtpServer {
            host,
            port,
            credentials,
        } = self.server;
        let stream = TcpStream::connect((host.as_str(), *port))
            .await
            .map_err(NoServer::Connect)?;
        // A mail is many small writes, each of which would wait for the answer to the one before.
        stream.set_nodelay(true).map_err(NoServer::Connect)?;
        let stream = Box::new(BoundedReplies::new(stream));
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(stream, &ClientId::default()).await?;
        if let Some(credentials) = credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// An answer that says no, to this mail or to the service; or none.
fn no(error: SmtpError) -> MailError {
    match error.status() {
        None => NoServer::Smtp(error).into(),
        Some(code) if u16::from(code) == CLOSING => NoServer::Smtp(error).into(),
        Some(_) if error.is_transient() => MailError::Deferred(error),
        Some(_) => MailError::Refused(error),
    }
}

/// Why work was not waited for any longer.
enum Cut {
    Late,
    Stopped,
}

async fn within<T>(
    deadline: Instant,
    stopped: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Result<T, Cut> {
    tokio::select! {
        // The limits first: a server that never pauses would use up the turn before they are looked at.
        biased;
        () = sleep_until(deadline) => Err(Cut::Late),
        () = stopped => Err(Cut::Stopped),
        end = work => Ok(end),
    }
}

/// Why there is no mail server to send with.
#[derive(Debug)]
pub(crate) enum NoServer {
    /// There is none at the address.
    Connect(io::Error),
    /// It turned us away, hung up or does not speak SMTP.
    Smtp(SmtpError),
    /// It answered something that no server says at that place.
    OutOfStep,
    /// It did not answer in time.
    Silent,
}

impl NoServer {
    /// What anybody may know: no address, nothing that the server said.
    pub(crate) fn in_short(&self) -> String {
        match self {
            NoServer::Connect(_) => "the mail server cannot be reached".to_owned(),
            NoServer::Smtp(error) => match error.status() {
                Some(code) => format!("the mail server turned the service away with {code}"),
                None => "the conversation with the mail server broke off".to_owned(),
            },
            NoServer::OutOfStep => "the mail server does not keep to the conversation".to_owned(),
            NoServer::Silent => "the mail server does not answer".to_owned(),
        }
    }
}

impl From<NoServer> for MailError {
    fn from(error: NoServer) -> Self {
        MailError::NoServer(error)
    }
}

impl From<SmtpError> for NoServer {
    fn from(error: SmtpError) -> Self {
        NoServer::Smtp(error)
    }
}

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_short())?;
        match self.source() {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for NoServer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            NoServer::Connect(error) => Some(error),
            NoServer::Smtp(error) => Some(error),
            NoServer::OutOfStep | NoServer::Silent => None,
        }
    }
}
