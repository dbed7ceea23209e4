//! Settings read from text; each refusal says what would be right.

use std::{env, net::SocketAddr, time::Duration};

use reqwest::Url;

use crate::console::ConsoleAccess;

/// Not a flag: the arguments of a process can be read by everybody on its machine.
const CONSOLE_SECRET: &str = "NEWSROOM_CONSOLE_SECRET";

/// Longer is a mistake, and much longer more than a clock can add.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`; the name is looked up when it is listened on.
pub(super) fn listen(text: &str) -> Result<String, String> {
    const RIGHT: &str =
        "write 127.0.0.1:8080, [::1]:8080, localhost:8080, or 0.0.0.0:8080 for every interface";
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("this has no port: {RIGHT}"));
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("{port:?} is no port from 0 to 65535: {RIGHT}"));
    }
    if host.is_empty() || !host.chars().all(is_of_a_name) {
        return Err(format!("{host:?} is no host: {RIGHT}"));
    }
    Ok(text.to_owned())
}

/// Reads `news.example.org`: the port makes no difference, and neither does case.
pub(super) fn host(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() || !name.chars().all(is_of_a_name) {
        return Err(format!(
            "{text:?} is no name of a host: write news.example.org, without a port"
        ));
    }
    Ok(name)
}

fn is_of_a_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_')
}

/// Reads the address of an API, whose paths begin at its end.
pub(super) fn upstream(text: &str) -> Result<Url, String> {
    const RIGHT: &str = "write http://host:port or http://host:port/path";
    let url = Url::parse(text).map_err(|error| format!("{error}: {RIGHT}"))?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(format!("the demo speaks no TLS: {RIGHT}")),
        _ => return Err(format!("the API is asked by HTTP: {RIGHT}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the API is asked without a login: {RIGHT}"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.port() == Some(0) {
        return Err(format!(
            "nothing comes after the path, and the port is one that exists: {RIGHT}"
        ));
    }
    Ok(url)
}

/// Reads `2` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let right = || {
        format!(
            "write a number of seconds such as 2 or 0.5, at most {}",
            LONGEST.as_secs()
        )
    };
    let seconds: f64 = text.parse().map_err(|_| right())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(right)
}

/// The same, for what takes time.
pub(super) fn limit(text: &str) -> Result<Duration, String> {
    let limit = seconds(text)?;
    if limit.is_zero() {
        Err("nothing can be done in no time".to_owned())
    } else {
        Ok(limit)
    }
}

/// Reads who may see the console, and its password where there has to be one.
pub(super) fn console(text: &str) -> Result<ConsoleAccess, String> {
    match text {
        "off" => Ok(ConsoleAccess::Off),
        "loopback" => Ok(ConsoleAccess::Loopback),
        "basic" => match env::var(CONSOLE_SECRET) {
            Ok(secret) if !secret.is_empty() => Ok(ConsoleAccess::Basic(secret.into())),
            _ => Err(format!("the password has to be in {CONSOLE_SECRET}")),
        },
        _ => Err("write off, loopback or basic".to_owned()),
    }
}

/// Reads the URL of a store of jobs; it is opened later.
pub(super) fn jobs(text: &str) -> Result<String, String> {
    const POSTGRES: bool = cfg!(feature = "postgres");
    match text.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() => Ok(text.to_owned()),
        Some(("postgres" | "postgresql", _)) if POSTGRES => Ok(text.to_owned()),
        Some(("postgres" | "postgresql", _)) => Err(
            "this program was built without Postgres: build it with --features postgres".to_owned(),
        ),
        _ => Err("write sqlite:FILE or postgres://user:password@host/database".to_owned()),
    }
}
