//! What a piece of work is called in a sentence, and what it waits for.

use nexios::observe::WorkKind;

use super::parts;
use crate::model::Span;

pub(super) fn called(span: &Span) -> String {
    match span.kind {
        WorkKind::Child | WorkKind::ParallelChild | WorkKind::Custom => span.name.clone(),
        kind => format!("{} {}", parts::kind(kind), span.name),
    }
}

pub(super) fn waits_for(span: &Span) -> String {
    match (span.kind, &span.owner) {
        (WorkKind::PoolJob, Some(pool)) => format!("a thread of \"{pool}\""),
        _ => "its turn".to_owned(),
    }
}
