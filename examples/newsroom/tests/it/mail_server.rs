//! A small SMTP server that keeps what it is sent, and misbehaves as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
};

#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

/// What the server answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connected,
    Hello,
    From,
    To,
    Data,
    /// The whole text; the mail is kept before the answer.
    Text,
}

impl Stage {
    pub(crate) const BEFORE_THE_TEXT: [Stage; 5] = [
        Stage::Connected,
        Stage::Hello,
        Stage::From,
        Stage::To,
        Stage::Data,
    ];
    pub(crate) const ALL: [Stage; 6] = [
        Stage::Connected,
        Stage::Hello,
        Stage::From,
        Stage::To,
        Stage::Data,
        Stage::Text,
    ];
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// As a server that is well.
    Fine,
    FineAfter(Duration),
    Say(&'static str),
    /// The same in any encoding.
    Bytes(&'static [u8]),
    /// Keeps the connection and says nothing.
    Nothing,
    HangUp,
    /// Says this again and again.
    Forever(&'static str),
}

type Answers = Arc<dyn Fn(Stage, &str) -> Reply + Send + Sync>;

#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    asked: Arc<Mutex<Vec<(Stage, String)>>>,
}

impl MailServer {
    /// Starts a server that answers 550 to the recipients that `refuses` names.
    pub(crate) async fn start(refuses: fn(&str) -> bool) -> Self {
        MailServer::that(move |stage, address| {
            if stage == Stage::To && refuses(address) {
                Reply::Say("550 no such mailbox")
            } else {
                Reply::Fine
            }
        })
        .await
    }

    /// Starts a server that answers as it is told; from `MAIL` on the address is known.
    pub(crate) async fn that(
        answers: impl Fn(Stage, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = MailServer {
            address: listener.local_addr().unwrap(),
            mails: Arc::default(),
            asked: Arc::default(),
        };
        let (accepting, answers) = (server.clone(), Arc::new(answers) as Answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(talk(client, accepting.clone(), answers.clone()));
            }
        });
        server
    }

    /// Starts a server that is well but at one stage.
    pub(crate) async fn but(odd: Stage, reply: Reply) -> Self {
        MailServer::that(move |stage, _| if stage == odd { reply } else { Reply::Fine }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// How often it came to this stage.
    pub(crate) fn asked(&self, stage: Stage) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(asked, _)| *asked == stage)
            .count()
    }
}

/// One conversation, as RFC 5321 has it.
async fn talk(client: TcpStream, server: MailServer, answers: Answers) -> std::io::Result<()> {
    let (reader, mut writer) = client.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut from, mut to) = (String::new(), String::new());
    let answer = |stage: Stage, to: &str| {
        server.asked.lock().unwrap().push((stage, to.to_owned()));
        answers(stage, to)
    };
    say(&mut writer, answer(Stage::Connected, ""), "220 test ready").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                say(
                    &mut writer,
                    answer(Stage::Hello, ""),
                    "250-test\r\n250 8BITMIME",
                )
                .await?;
            }
            "HELO" | "NOOP" | "RSET" => say(&mut writer, Reply::Fine, "250 fine").await?,
            "MAIL" => {
                from = address(&line);
                say(&mut writer, answer(Stage::From, &from), "250 fine").await?;
            }
            "RCPT" => {
                to = address(&line);
                say(&mut writer, answer(Stage::To, &to), "250 fine").await?;
            }
            "DATA" => {
                let reply = answer(Stage::Data, &to);
                say(&mut writer, reply, "354 go on").await?;
                if !matches!(reply, Reply::Fine | Reply::FineAfter(_)) {
                    continue;
                }
                let mut text = String::new();
                loop {
                    match lines.next_line().await? {
                        None => return Ok(()),
                        Some(line) if line == "." => break,
                        Some(line) => {
                            text.push_str(line.strip_prefix('.').unwrap_or(&line));
                            text.push('\n');
                        }
                    }
                }
                let mail = Mail {
                    from: from.clone(),
                    to: to.clone(),
                    text,
                };
                server.mails.lock().unwrap().push(mail);
                say(&mut writer, answer(Stage::Text, &to), "250 stored").await?;
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => writer.write_all(b"500 what?\r\n").await?,
        }
    }
    Ok(())
}

/// Errors end the conversation.
async fn say(writer: &mut OwnedWriteHalf, reply: Reply, fine: &str) -> std::io::Result<()> {
    let text = match reply {
        Reply::Fine => fine,
        Reply::FineAfter(time) => {
            tokio::time::sleep(time).await;
            fine
        }
        Reply::Say(text) => text,
        Reply::Bytes(bytes) => {
            writer.write_all(bytes).await?;
            ""
        }
        Reply::Nothing => std::future::pending().await,
        Reply::HangUp => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Reply::Forever(text) => loop {
            writer.write_all(text.repeat(1_000).as_bytes()).await?;
        },
    };
    writer.write_all(format!("{text}\r\n").as_bytes()).await
}

fn address(line: &str) -> String {
    let address = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    address
        .map(|(address, _)| address.to_owned())
        .unwrap_or_default()
}
