use std::time::Duration;

use axum::http::HeaderValue;
use nexios_axum::DeadlineHeader::{self, ConnectTimeoutMs, EnvoyExpectedTimeoutMs, GrpcTimeout};

fn parse(header: DeadlineHeader, text: &str) -> Option<Duration> {
    header.parse(&HeaderValue::from_bytes(text.as_bytes()).unwrap())
}

#[test]
fn grpc_timeouts_have_a_unit() {
    for (text, time) in [
        ("1H", Duration::from_secs(3_600)),
        ("2M", Duration::from_secs(120)),
        ("3S", Duration::from_secs(3)),
        ("4m", Duration::from_millis(4)),
        ("5u", Duration::from_micros(5)),
        ("6n", Duration::from_nanos(6)),
        ("0S", Duration::ZERO),
        ("00000001S", Duration::from_secs(1)),
        ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
    ] {
        assert_eq!(parse(GrpcTimeout, text), Some(time), "{text}");
    }
}

#[test]
fn malformed_grpc_timeouts_are_none() {
    for text in [
        "",
        "S",
        "1",
        "1s",
        "1h",
        "-1S",
        "+1S",
        "1.5S",
        " 1S",
        "1S ",
        "1 S",
        "123456789S",
        "1ms",
        "1é",
        "é",
    ] {
        assert_eq!(parse(GrpcTimeout, text), None, "{text:?}");
    }
}

#[test]
fn milliseconds_are_plain_digits() {
    for header in [ConnectTimeoutMs, EnvoyExpectedTimeoutMs] {
        assert_eq!(parse(header, "0"), Some(Duration::ZERO));
        assert_eq!(parse(header, "1500"), Some(Duration::from_millis(1_500)));
        assert_eq!(
            parse(header, "9999999999"),
            Some(Duration::from_millis(9_999_999_999))
        );
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "1ms",
            " 1",
            "0x10",
            "12345678901234567890",
        ] {
            assert_eq!(parse(header, text), None, "{header:?} {text:?}");
        }
    }
    assert_eq!(
        parse(ConnectTimeoutMs, "12345678901"),
        None,
        "Connect has at most 10 digits"
    );
    assert_eq!(
        parse(EnvoyExpectedTimeoutMs, "12345678901"),
        Some(Duration::from_millis(12_345_678_901))
    );
}

#[test]
fn encoding_rounds_down_to_the_finest_unit_that_fits() {
    for (time, text) in [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_000), "100000u"),
        (Duration::from_nanos(100_000_999), "100000u"),
        (Duration::from_millis(1_500), "1500000u"),
        (Duration::from_micros(100_000_999), "100000m"),
        (Duration::from_millis(100_000_999), "100000S"),
        (Duration::from_secs(100_000_019), "1666666M"),
        (Duration::from_secs(100_000_000 * 60 + 3_599), "1666667H"),
        (Duration::MAX, "99999999H"),
    ] {
        assert_eq!(GrpcTimeout.encode(time), text, "{time:?}");
    }
    assert_eq!(ConnectTimeoutMs.encode(Duration::from_micros(1_999)), "1");
    assert_eq!(ConnectTimeoutMs.encode(Duration::MAX), "9999999999");
    assert_eq!(
        EnvoyExpectedTimeoutMs.encode(Duration::from_micros(1_999)),
        "1"
    );
    assert_eq!(
        EnvoyExpectedTimeoutMs.encode(Duration::MAX),
        "9999999999999999999"
    );
}

#[test]
fn what_is_encoded_can_be_read_and_is_never_longer() {
    let mut time = Duration::from_nanos(1);
    while let Some(next) = time.checked_mul(7) {
        for header in DeadlineHeader::ALL {
            let read = header.parse(&header.encode(time)).unwrap();
            assert!(read <= time, "{header:?} {time:?} became {read:?}");
        }
        time = next;
    }
}
