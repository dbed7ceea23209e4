//! A newsletter's text.

use std::error::Error;

use lettre::{
    Address, Message,
    address::Envelope,
    message::{Mailbox, header::ContentType},
};
use serde::{Deserialize, Serialize};

use super::subscriber::Subscriber;

const LONGEST_SUBJECT: usize = 200;
const LONGEST_BODY: usize = 100_000;
/// Of a longer name only the beginning is mailed: a line of a header has 998 bytes.
const LONGEST_NAME: usize = 100;
/// How somebody is addressed whose name is not known.
const NAMELESS: &str = "reader";
const FROM: &str = "Newsroom <newsletter@newsroom.example>";

/// A subject and a body that can be mailed.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
        // To some mail servers a single CR ends a line, and so a dot behind it the mail: what follows would be
        // commands of the author's choice.
        let body = body.replace("\r\n", "\n").replace('\r', "\n");
        if body.contains(|char: char| char.is_control() && !matches!(char, '\n' | '\t')) {
            return Err(
                "`body` is text: no control characters but tabs and line breaks".to_owned(),
            );
        }
        Ok(Letter { subject, body })
    }
}

impl Letter {
    /// Addresses the letter; the error is a bad address.
    pub(super) fn to(
        &self,
        subscriber: &Subscriber,
    ) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let from: Mailbox = FROM.parse()?;
        let address: Address = subscriber.email.parse()?;
        let name = header_name(&subscriber.name);
        let dear = name.as_deref().unwrap_or(NAMELESS);
        let message = Message::builder()
            // Not read from the headers again, where a name may change what an address is.
            .envelope(Envelope::new(
                Some(from.email.clone()),
                vec![address.clone()],
            )?)
            .from(from)
            .to(Mailbox::new(name.clone(), address))
            .subject(&self.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(format!("Dear {dear},\n\n{}\n", self.body))?;
        Ok(message)
    }
}

/// A name as it can stand in a header, whatever is in the database; `None` if there is none.
fn header_name(name: &str) -> Option<String> {
    let words = name.split(|char: char| char.is_whitespace() || char.is_control());
    let name = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let name: String = name.chars().take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}
