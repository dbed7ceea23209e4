use clap::{CommandFactory, Parser};
use newsroom::{Config, ConsoleAccess, LogFormat, Sizes};

pub(crate) const SETTINGS: [&str; 12] = [
    "listen",
    "host",
    "data",
    "upstream",
    "jobs",
    "smtp-url",
    "smtp-limit",
    "smtp-retry-after",
    "accepting",
    "shutdown-limit",
    "log",
    "console",
];

#[test]
fn the_defaults_need_no_flag() {
    let config = Config::parse_from(["newsroom"]);
    assert_eq!(config.listen, "127.0.0.1:8080");
    assert_eq!(config.data.to_str(), Some("newsroom-data"));
    assert_eq!(config.log, LogFormat::Text);
    assert_eq!(
        (config.accepting.as_secs(), config.shutdown_limit.as_secs()),
        (2, 30)
    );
    assert_eq!(
        (
            config.smtp_limit.as_secs(),
            config.smtp_retry_after.as_secs()
        ),
        (10, 2)
    );
    assert!(config.upstream.is_none() && config.smtp_url.is_none() && config.jobs.is_none());
    assert!(matches!(config.console, ConsoleAccess::Loopback) && !config.play);
    assert_eq!(
        config.sizes,
        Sizes {
            rows: 1_000_000,
            users: 100,
            articles: 10_000,
            subscribers: 10_000
        }
    );
}

#[test]
fn every_setting_is_a_flag_with_a_variable_of_the_environment_and_a_help() {
    let help = Config::command().render_long_help().to_string();
    for name in SETTINGS {
        let variable = format!("NEWSROOM_{}", name.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{name}")), "{help}");
        assert!(
            help.contains(&format!("[env: {variable}")),
            "{variable} is missing: {help}"
        );
    }
    for argument in Config::command().get_arguments() {
        assert!(argument.get_help().is_some(), "{argument} has no help");
    }
}

#[test]
fn addresses_that_can_be_used_are_taken() {
    for (setting, good) in [
        ("listen", "0.0.0.0:80"),
        ("listen", "[::1]:0"),
        ("listen", "localhost:8080"),
        ("listen", "news-1.example.org:8080"),
        ("host", "news.example.org"),
        ("host", "news.example,proxy.example."),
        ("upstream", "http://localhost"),
        ("upstream", "http://[::1]:9000/v1/"),
        ("smtp-url", "smtp://localhost"),
        ("smtp-url", "smtp://127.0.0.1:1025/"),
        ("smtp-url", "smtp://ada:s%40fe@[::1]:25"),
    ] {
        let parsed = Config::try_parse_from(["newsroom".to_owned(), format!("--{setting}={good}")]);
        assert!(parsed.is_ok(), "{setting}={good}: {parsed:?}");
    }
}

#[test]
fn a_host_is_a_name_without_a_port_in_any_case() {
    let config = Config::parse_from(["newsroom", "--host", "News.Example.", "--host", "b.example"]);
    assert_eq!(config.host, ["news.example", "b.example"]);
    for bad in ["", ".", "news.example:80", "a b", "http://news.example"] {
        let parsed = Config::try_parse_from(["newsroom".to_owned(), format!("--host={bad}")]);
        assert!(parsed.is_err(), "{bad:?}");
    }
}

#[test]
fn times_are_seconds_with_or_without_a_fraction() {
    let config = Config::parse_from(["newsroom", "--accepting", "0.5", "--shutdown-limit", "12"]);
    assert_eq!(
        (
            config.accepting.as_millis(),
            config.shutdown_limit.as_millis()
        ),
        (500, 12_000)
    );
    for bad in ["soon", "-1", "1e30", "NaN"] {
        assert!(
            Config::try_parse_from(["newsroom".to_owned(), format!("--accepting={bad}")]).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_password_is_not_in_the_debug_output() {
    let config = Config::parse_from(["newsroom", "--smtp-url", "smtp://ada:letmein@localhost"]);
    let text = format!("{config:?}");
    assert!(
        !text.contains("letmein") && !text.contains("ada") && text.contains("smtp://localhost:25"),
        "{text}"
    );
}

#[test]
fn the_password_of_the_console_is_not_in_the_debug_output() {
    let mut config = Config::parse_from(["newsroom", "--console", "off"]);
    assert!(matches!(config.console, ConsoleAccess::Off));
    config.console = ConsoleAccess::Basic("letmein".into());
    let text = format!("{config:?}");
    assert!(
        !text.contains("letmein") && text.contains("Basic"),
        "{text}"
    );
}
