//! Where the console is, and how its links lead there from each page.
//!
//! Links are relative, so they hold behind proxies too that take a part of the address away. `Router::nest` lets a nested router
//! answer at `/nexios` and not at `/nexios/`, so the first page's address has no slash at its end, and what is below it is
//! reached by the last part of the address.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, NestedPath, OriginalUri},
    http::request::Parts,
};

/// The last part of the address that the console is nested at; none for one on a listener of its own, and where that address
/// ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mount(Option<Arc<str>>);

/// How links lead on from one page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// To what is below the console's address.
    pub(crate) base: String,
    /// To the first page.
    pub(crate) home: String,
}

impl<S: Sync> FromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Mount {
    pub(crate) fn of(parts: &Parts) -> Self {
        let nested = parts.extensions.get::<NestedPath>();
        let (Some(nested), Some(OriginalUri(original))) = (nested, parts.extensions.get()) else {
            return Self(None);
        };
        if nested.as_str().ends_with('/') {
            return Self(None);
        }
        let (whole, inner) = (original.path(), parts.uri.path());
        let mount = whole.strip_suffix(inner).unwrap_or(whole);
        Self(
            mount
                .rsplit('/')
                .next()
                .filter(|name| !name.is_empty())
                .map(Arc::from),
        )
    }

    /// From this path below the console's address, which for the first page is `/`.
    pub(crate) fn place(&self, path: &str) -> Place {
        let depth = path.matches('/').count().saturating_sub(1);
        let base = if depth == 0 {
            "./".to_owned()
        } else {
            "../".repeat(depth)
        };
        match &self.0 {
            None => Place {
                home: base.clone(),
                base,
            },
            // A part of an address may hold a colon, which would look like a scheme.
            Some(name) if path == "/" => Place {
                base: format!("./{name}/"),
                home: format!("./{name}"),
            },
            Some(name) => Place {
                home: format!("{base}../{name}"),
                base,
            },
        }
    }

    /// Where the first page is, for who has put a slash behind its address.
    pub(crate) fn without_slash(&self, parts: &Parts) -> Option<String> {
        let name = self.0.as_ref()?;
        let OriginalUri(original) = parts.extensions.get()?;
        let query = original
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        original
            .path()
            .ends_with('/')
            .then(|| format!("../{name}{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_every_page_to_every_page() {
        let resolve = |from: &str, link: &str| {
            let mut parts: Vec<&str> = from.split('/').collect();
            parts.pop();
            for part in link.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            parts.join("/")
        };
        for (mount, name) in [("/admin/nexios", Some("nexios")), ("", None)] {
            for path in ["/", "/pools", "/requests/7", "/actions/cancel/7"] {
                let Place { base, home } = Mount(name.map(Arc::from)).place(path);
                let from = if path == "/" && name.is_some() {
                    mount.to_owned()
                } else {
                    format!("{mount}{path}")
                };
                assert_eq!(
                    resolve(&from, &format!("{base}pools")),
                    format!("{mount}/pools"),
                    "from {from} by {base}"
                );
                let first = if name.is_some() { mount } else { "/" };
                assert_eq!(resolve(&from, &home), first, "from {from} by {home}");
            }
        }
    }
}
