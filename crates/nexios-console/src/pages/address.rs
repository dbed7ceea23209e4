//! Addresses with questions in them.

use std::fmt::Write;

/// The address with those of the fields that are not empty.
pub(crate) fn with(path: &str, fields: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    for (index, (name, value)) in fields.enumerate() {
        address.push(if index == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        escape(value, &mut address);
    }
    address
}

fn escape(value: &str, address: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                address.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(address, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        let address = with(
            "requests",
            &[("route", "GET /ä?b"), ("bucket", ""), ("x", "<&")],
        );
        assert_eq!(address, "requests?route=GET%20/%C3%A4%3Fb&x=%3C%26");
    }
}
