//! Numbers and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}

/// A time span that is over: three digits that count.
pub(crate) fn span(ms: f64) -> String {
    match ms {
        ..0.995 => format!("{ms:.2} ms"),
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..9_995.0 => format!("{:.2} s", ms / 1000.0),
        ..59_950.0 => format!("{:.1} s", ms / 1000.0),
        _ => age(ms),
    }
}

/// A time span that goes on, so its last digit is no news. The script writes the same.
pub(crate) fn age(ms: f64) -> String {
    let seconds = (ms.max(0.0) / 1000.0) as u64;
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {part}"),
    };
    match seconds {
        0..10 => format!("{:.1} s", (ms.max(0.0) / 100.0).floor() / 10.0),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// With a comma before each three digits.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As much of a thousand as it takes.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

/// One word for one, another for all other numbers.
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", count(number)),
    }
}

/// How much of the whole, without a decimal.
pub(crate) fn share(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.0} %", (part / whole * 100.0).clamp(0.0, 100.0)),
        false => "0 %".to_owned(),
    }
}

/// A moment as UTC: `2026-11-22 14:03:22 UTC`.
pub(crate) fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    // Howard Hinnant's civil_from_days, for days after 1970.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_the_digits_that_count() {
        let spans = [
            0.0,
            0.4,
            3.21,
            812.4,
            999.6,
            1_920.0,
            12_440.0,
            184_000.0,
            93_784_000.0,
        ]
        .map(span);
        let texts = [
            "0.00 ms",
            "0.40 ms",
            "3.2 ms",
            "812 ms",
            "1.00 s",
            "1.92 s",
            "12.4 s",
            "3 min 4 s",
            "1 d 2 h",
        ];
        assert_eq!(spans, texts);
    }

    #[test]
    fn ages_do_not_flicker() {
        assert_eq!(
            [-5.0, 1_950.0, 12_999.0, 60_000.0, 7_500_000.0].map(age),
            ["0.0 s", "1.9 s", "12 s", "1 min", "2 h 5 min"]
        );
    }

    #[test]
    fn big_numbers_have_commas() {
        assert_eq!(
            [7_u64, 999, 1_000, 1_234_567].map(count),
            ["7", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn bytes_are_told_in_thousands() {
        assert_eq!(
            [0, 999, 1_000, 24_613, 7_250_000, 3_000_000_000].map(bytes),
            ["0 B", "999 B", "1.0 kB", "24.6 kB", "7.2 MB", "3.0 GB"]
        );
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(moment(1_795_348_288_123), "2026-11-22 11:51:28 UTC");
    }
}
