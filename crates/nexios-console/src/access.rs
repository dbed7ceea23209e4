//! Who may see and do what.

mod authorization;
mod basic;
mod bearer;
mod local;
mod origin;
mod secret;
mod who;

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, request::Parts},
};

pub(crate) use origin::{Site, site};
pub use secret::Secret;
pub use who::Who;

/// What somebody may; each includes those before it.
///
/// Names and numbers are for [`View`](Self::View). Error texts, messages and addresses of requests are sensitive, since
/// they may hold what users typed; below [`ViewSensitive`](Self::ViewSensitive) they are shown as `•••`.
///
/// # Examples
///
/// ```
/// use nexios_console::Access;
///
/// let mine = Access::ViewSensitive; // what a rule has granted
/// assert!(mine >= Access::View);
/// assert!(mine < Access::Act);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Nothing at all.
    Forbidden,
    /// Names and numbers.
    View,
    /// Error texts, messages and addresses of requests too.
    ViewSensitive,
    /// Cancel, retry, reset and refresh too, where [`allow_actions`](crate::ConsoleBuilder::allow_actions) was said.
    Act,
}

/// Whether the sender of a request may act: they are let, and actions are allowed at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MayAct(pub(crate) bool);

impl MayAct {
    /// As the guard has put it there; without a guard nobody may.
    pub(crate) fn of(extensions: &Extensions) -> bool {
        extensions.get().is_some_and(|MayAct(may_act)| *may_act)
    }
}

/// The app's own rule.
type Rule = Arc<dyn Fn(&Parts) -> Access + Send + Sync>;

/// How somebody shows who they are.
#[derive(Clone)]
pub(crate) enum Way {
    Loopback,
    Basic(basic::Credential),
    Bearer(Secret),
    Rule(Rule),
    Public,
}

/// What was found out about the sender of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted(Access),
    /// There is no credential, or a wrong one: what to ask for.
    Unauthorized(&'static str),
    /// Why not, for the developer who reads it.
    Forbidden(&'static str),
}

impl Way {
    pub(crate) fn basic(user: String, secret: Secret) -> Self {
        Self::Basic(basic::Credential::new(user, secret))
    }

    pub(crate) fn judge(&self, parts: &Parts) -> Verdict {
        match self {
            Self::Loopback => match local::refusal(parts) {
                None => Verdict::Granted(Access::Act),
                Some(why) => Verdict::Forbidden(why),
            },
            Self::Basic(credential) => match credential.is_shown(&parts.headers) {
                true => Verdict::Granted(Access::Act),
                false => Verdict::Unauthorized(basic::CHALLENGE),
            },
            Self::Bearer(secret) => match bearer::shows(&parts.headers, secret) {
                true => Verdict::Granted(Access::Act),
                false => Verdict::Unauthorized(bearer::CHALLENGE),
            },
            Self::Rule(rule) => match rule(parts) {
                Access::Forbidden => Verdict::Forbidden("You may not see this page."),
                access => Verdict::Granted(access),
            },
            Self::Public => Verdict::Granted(Access::View),
        }
    }

    /// What the sender of a request may.
    pub(crate) fn access(&self, parts: &Parts) -> Access {
        match self.judge(parts) {
            Verdict::Granted(access) => access,
            Verdict::Unauthorized(_) | Verdict::Forbidden(_) => Access::Forbidden,
        }
    }

    /// Whether a browser would have let this request through on behalf of a page that knows no secret: its address or a
    /// credential that it sends by itself was enough.
    pub(crate) fn trusts_the_browser(&self, parts: &Parts) -> bool {
        match self {
            Self::Loopback | Self::Basic(_) | Self::Public => true,
            Self::Bearer(_) => false,
            Self::Rule(_) => origin::sent_by_itself(&parts.headers),
        }
    }

    /// Who it is, for the audit log.
    pub(crate) fn who(&self, parts: &Parts) -> String {
        let name = match self {
            Self::Loopback => "loopback",
            Self::Basic(credential) => credential.user(),
            Self::Bearer(_) => "bearer",
            Self::Rule(_) => "rule",
            Self::Public => "public",
        };
        // Who puts it there is a layer of the app, which knows better.
        let name = match parts.extensions.get::<Who>() {
            Some(who) => who.to_string(),
            None => name.to_owned(),
        };
        match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) => format!("{name} from {peer}"),
            None => name,
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("Loopback"),
            Self::Basic(credential) => f.debug_tuple("Basic").field(&credential.user()).finish(),
            Self::Bearer(_) => f.write_str("Bearer"),
            Self::Rule(_) => f.write_str("Rule"),
            Self::Public => f.write_str("Public"),
        }
    }
}
