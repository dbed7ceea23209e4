//! A small SMTP server that keeps what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// Starts a server that answers 550 to the recipients that `refuses` names.
    pub(crate) async fn start(refuses: fn(&str) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = MailServer { address: listener.local_addr().unwrap(), mails: Arc::default() };
        let mails = server.mails.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(talk(client, mails.clone(), refuses));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The addresses that mails went to, sorted.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let mut recipients: Vec<_> = self.mails().into_iter().map(|mail| mail.to).collect();
        recipients.sort_unstable();
        recipients
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

/// One conversation, as RFC 5321 has it.
async fn talk(
    client: TcpStream,
    mails: Arc<Mutex<Vec<Mail>>>,
    refuses: fn(&str) -> bool,
) -> std::io::Result<()> {
    let (reader, mut writer) = client.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut from, mut to) = (String::new(), String::new());
    writer.write_all(b"220 test ready\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-test\r\n250 8BITMIME",
            "HELO" | "NOOP" | "RSET" => "250 fine",
            "MAIL" => {
                from = address(&line);
                "250 fine"
            }
            "RCPT" if refuses(&address(&line)) => "550 no such mailbox",
            "RCPT" => {
                to = address(&line);
                "250 fine"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                mails.lock().unwrap().push(Mail { from: from.clone(), to: to.clone(), text });
                "250 stored"
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "500 what?",
        };
        writer.write_all(reply.as_bytes()).await?;
        writer.write_all(b"\r\n").await?;
    }
    Ok(())
}

fn address(line: &str) -> String {
    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    address.map(|(address, _)| address.to_owned()).unwrap_or_default()
}
