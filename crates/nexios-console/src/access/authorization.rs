use axum::http::HeaderValue;

/// What follows the name of the scheme, which is the same in any case.
pub(super) fn credential<'a>(header: Option<&'a HeaderValue>, scheme: &str) -> Option<&'a [u8]> {
    let header = header?.as_bytes();
    let (name, rest) = header.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    name.eq_ignore_ascii_case(scheme.as_bytes())
        .then(|| rest.trim_ascii())
}
