//! Mails by SMTP.

use std::{fmt, str::FromStr, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{AsyncSmtpTransportBuilder, authentication::Credentials},
};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::MailError;

/// How long a mail server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_PORT: u16 = 25;

/// A mail server: `smtp://[user:password@]host[:port]`, port 25 by default.
///
/// The demo carries no TLS: name a server on this machine or in the same network, such as a relay or a
/// mail catcher.
#[derive(Clone)]
pub struct SmtpServer(AsyncSmtpTransportBuilder);

impl SmtpServer {
    /// Makes the connections' pool, so it must be called on a runtime; connects with the first mail.
    pub(crate) fn connect(&self) -> Smtp {
        Smtp(self.0.clone().timeout(Some(PATIENCE)).build())
    }
}

impl FromStr for SmtpServer {
    type Err = SmtpUrlError;

    fn from_str(text: &str) -> Result<Self, SmtpUrlError> {
        let url = Url::parse(text).map_err(|_| SmtpUrlError)?;
        let host = url.host_str().filter(|_| url.scheme() == "smtp").ok_or(SmtpUrlError)?;
        // An IPv6 address has brackets in a URL and none elsewhere.
        let host = host.trim_matches(['[', ']']);
        let port = url.port().unwrap_or(DEFAULT_PORT);
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port);
        if let Some(password) = url.password() {
            server = server.credentials(Credentials::new(decode(url.username()), decode(password)));
        }
        Ok(SmtpServer(server))
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Debug for SmtpServer {
    /// Says nothing: the address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpServer")
    }
}

/// The text names no mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpUrlError;

impl fmt::Display for SmtpUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mail server looks like smtp://user:password@host:port (without TLS)")
    }
}

impl std::error::Error for SmtpUrlError {}

/// Connections to a mail server.
pub(crate) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    pub(crate) async fn send(&self, message: Message) -> Result<(), MailError> {
        match self.0.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_some() => Err(MailError::Refused(error)),
            Err(error) => Err(MailError::Unreachable(error)),
        }
    }
}
