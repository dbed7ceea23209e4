//! The address of a mail server.

use std::{fmt, str::FromStr};

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use reqwest::Url;

const DEFAULT_PORT: u16 = 25;

/// A mail server: `smtp://[user:password@]host[:port]`, port 25 by default.
///
/// The demo carries no TLS: name a server on this machine or in the same network, such as a relay or a
/// mail catcher.
#[derive(Clone)]
pub struct SmtpServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
}

impl FromStr for SmtpServer {
    type Err = SmtpUrlError;

    fn from_str(text: &str) -> Result<Self, SmtpUrlError> {
        let url = Url::parse(text).map_err(|_| SmtpUrlError::NoAddress)?;
        match url.scheme() {
            "smtp" => {}
            "smtps" => return Err(SmtpUrlError::Tls),
            _ => return Err(SmtpUrlError::NoAddress),
        }
        // A host with escapes is none that could be looked up.
        let host = url
            .host_str()
            .filter(|host| !host.contains('%'))
            .ok_or(SmtpUrlError::NoAddress)?;
        let port = url.port().unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(SmtpUrlError::NoAddress);
        }
        // `?tls=required` and the like: it must not be dropped in silence.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(SmtpUrlError::More);
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err(SmtpUrlError::HalfALogin),
            (user, Some(password)) => Some(Credentials::new(decode(user)?, decode(password)?)),
        };
        // An IPv6 address has brackets in a URL and none elsewhere.
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(SmtpServer {
            host,
            port,
            credentials,
        })
    }
}

fn decode(text: &str) -> Result<String, SmtpUrlError> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| SmtpUrlError::HalfALogin)?;
    if text.is_empty() {
        Err(SmtpUrlError::HalfALogin)
    } else {
        Ok(text.into_owned())
    }
}

impl fmt::Debug for SmtpServer {
    /// Keeps the password to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smtp://{}:{}", self.host, self.port)
    }
}

/// The text names no mail server that could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SmtpUrlError {
    /// There is no host, a port that does not exist, or another scheme.
    NoAddress,
    /// A user without a password, or a password without a user.
    HalfALogin,
    /// TLS is asked for.
    Tls,
    /// Something comes after the port.
    More,
}

impl fmt::Display for SmtpUrlError {
    /// Repeats nothing of the text: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SmtpUrlError::NoAddress => "this names no mail server",
            SmtpUrlError::HalfALogin => "a login is a user and a password, or neither",
            SmtpUrlError::Tls => {
                "the demo speaks no TLS; name a relay on this machine or in the same network"
            }
            SmtpUrlError::More => "nothing comes after the port",
        })?;
        f.write_str(
            ": write smtp://host:port or smtp://user:password@host:port, with %40 for an @ in them",
        )
    }
}

impl std::error::Error for SmtpUrlError {}
