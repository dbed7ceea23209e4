//! What axum and serde say of a bad request, in the words of the client instead of the program's.
//!
//! Names of types say nothing to a client, and tell others what the program looks like inside.

use std::borrow::Cow;

use crate::text::in_short;

/// How a text begins, and how it should.
const BEGINNINGS: [(&str, &str); 6] = [
    (
        "Failed to deserialize the JSON body into the target type: ",
        "The JSON does not fit: ",
    ),
    (
        "Failed to parse the request body as JSON: ",
        "The body is not valid JSON: ",
    ),
    (
        "Failed to deserialize query string: ",
        "The query does not fit: ",
    ),
    (
        "Failed to deserialize form body: ",
        "The form does not fit: ",
    ),
    ("Failed to deserialize form: ", "The form does not fit: "),
    ("Invalid URL: ", "The path does not fit: "),
];

/// What is said somewhere in a text, and how it should be.
const PHRASES: [(&str, &str); 17] = [
    (
        "Failed to buffer the request body: length limit exceeded",
        "The body of the request is too large.",
    ),
    ("invalid type: map,", "found an object,"),
    ("invalid type: sequence,", "found a list,"),
    ("invalid type: integer ", "found the number "),
    ("invalid type: floating point ", "found the number "),
    ("invalid type: ", "found "),
    ("invalid value: integer ", "found the number "),
    ("invalid value: floating point ", "found the number "),
    ("invalid value: ", "found "),
    ("invalid digit found in string", "expected a whole number"),
    (
        "cannot parse integer from empty string",
        "expected a whole number",
    ),
    ("invalid float literal", "expected a number"),
    ("cannot parse float from empty string", "expected a number"),
    (
        "number too large to fit in target type",
        "the number is too large",
    ),
    (
        "number too small to fit in target type",
        "the number is too small",
    ),
    (
        "number would be zero for non-zero type",
        "expected a whole number other than 0",
    ),
    (
        "provided string was not `true` or `false`",
        "expected true or false",
    ),
];

/// How a type begins that is expected, and what a client would call it.
const TYPES: [(&str, &str); 18] = [
    ("struct ", "an object"),
    ("internally tagged enum ", "an object"),
    ("adjacently tagged enum ", "an object"),
    ("a map", "an object"),
    ("string or map", "text or an object"),
    ("tuple ", "a list"),
    ("a tuple", "a list"),
    ("an array", "a list"),
    ("a sequence", "a list"),
    ("unit", "null"),
    ("newtype ", "a value"),
    ("enum ", "one of the accepted values"),
    ("variant ", "one of the accepted names"),
    ("field ", "the name of a field"),
    ("a nonzero ", "a whole number other than 0"),
    ("a string", "text"),
    ("a borrowed string", "text"),
    ("a boolean", "true or false"),
];

pub(super) fn for_clients(text: &str) -> String {
    if text.starts_with("Failed to buffer the request body")
        && !text.ends_with("length limit exceeded")
    {
        return super::BROKEN_BODY.to_owned();
    }
    let mut text = Cow::Borrowed(text);
    for (begins, ours) in BEGINNINGS {
        if let Some(rest) = text.strip_prefix(begins) {
            text = Cow::Owned(format!("{ours}{rest}"));
            break;
        }
    }
    for (phrase, ours) in PHRASES {
        if text.contains(phrase) {
            text = Cow::Owned(text.replacen(phrase, ours, 1));
        }
    }
    in_short(without_types(&text))
}

/// Says what is expected without the names of types.
fn without_types(text: &str) -> String {
    const NO_VARIANT: &str = "data did not match any variant of untagged enum ";
    if let Some((before, after)) = text.split_once(NO_VARIANT) {
        let place = after.find(" at line ").map_or("", |place| &after[place..]);
        return format!("{before}none of the accepted forms{place}");
    }
    // "Cannot parse `id` with value `x` to a `u64`"
    if let Some((before, kind)) = text.rsplit_once(" to a `")
        && let Some(kind) = kind.strip_suffix('`')
    {
        return format!("{before}: expected {}", plain(kind));
    }
    let Some((before, expected)) = text.rsplit_once(", expected ") else {
        return text.to_owned();
    };
    let place = expected.rfind(" at line ").unwrap_or(expected.len());
    let (expected, place) = expected.split_at(place);
    format!("{before}, expected {}{place}", plain(expected))
}

/// What a client would call a type; what is no type stays.
fn plain(expected: &str) -> Cow<'_, str> {
    let number = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or greater",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        "char" => "a single character",
        _ => return Cow::Owned(named(expected)),
    };
    Cow::Borrowed(number)
}

/// The same for a type that is more than its name.
fn named(expected: &str) -> String {
    let Some((_, ours)) = TYPES
        .iter()
        .find(|(begins, _)| expected.starts_with(begins))
    else {
        return expected.to_owned();
    };
    // "a tuple of size 2", "tuple struct Point with 2 elements"
    let size = [" of size ", " of length ", " with "]
        .iter()
        .find_map(|size| expected.find(size));
    let size = size
        .filter(|_| *ours == "a list")
        .map_or("", |size| &expected[size..]);
    format!("{ours}{size}")
}
