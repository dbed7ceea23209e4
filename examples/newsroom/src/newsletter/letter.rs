//! A newsletter's text.

use std::error::Error;

use lettre::{
    Message,
    message::{Mailbox, header::ContentType},
};
use serde::Deserialize;

use super::subscriber::Subscriber;

const LONGEST_SUBJECT: usize = 200;
const LONGEST_BODY: usize = 100_000;
const FROM: &str = "Newsroom <newsletter@newsroom.example>";

/// A subject and a body that can be mailed.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Draft")]
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) body: String,
}

/// The same, unchecked.
#[derive(Deserialize)]
#[serde(expecting = "an object with `subject` and `body`")]
struct Draft {
    subject: String,
    body: String,
}

impl TryFrom<Draft> for Letter {
    type Error = String;

    fn try_from(Draft { subject, body }: Draft) -> Result<Self, String> {
        if subject.trim().is_empty() || subject.chars().count() > LONGEST_SUBJECT {
            return Err(format!("`subject` has 1 to {LONGEST_SUBJECT} characters"));
        }
        // A line break would end the header and begin one of the sender's choice.
        if subject.contains(char::is_control) {
            return Err("`subject` is one line".to_owned());
        }
        if body.trim().is_empty() || body.chars().count() > LONGEST_BODY {
            return Err(format!("`body` has 1 to {LONGEST_BODY} characters"));
        }
        Ok(Letter { subject, body })
    }
}

impl Letter {
    /// Addresses the letter; the error is a bad address.
    pub(crate) fn to(&self, subscriber: &Subscriber) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let to = Mailbox::new(Some(subscriber.name.clone()), subscriber.email.parse()?);
        let message = Message::builder()
            .from(FROM.parse()?)
            .to(to)
            .subject(&self.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(format!("Dear {},\n\n{}\n", subscriber.name, self.body))?;
        Ok(message)
    }
}
