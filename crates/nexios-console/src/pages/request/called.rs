//! What a piece of work is called in a sentence, and what it waits for.

use nexios::observe::WorkKind;

use super::parts;
use crate::model::Span;

pub(super) fn called(span: &Span) -> String {
    match span.kind {
        WorkKind::Computation => format!("lazy value \"{}\"", span.name),
        // Their names are numbers.
        WorkKind::Attempt => match &span.owner {
            Some(hedge) => format!("{} of {hedge}", span.name),
            None => span.name.clone(),
        },
        WorkKind::Child | WorkKind::ParallelChild | WorkKind::Custom => span.name.clone(),
        kind => format!("{} {}", parts::kind(kind), span.name),
    }
}

pub(super) fn waits_for(span: &Span) -> String {
    match (span.kind, &span.owner) {
        (WorkKind::PoolJob, Some(pool)) => format!("a thread of \"{pool}\""),
        (WorkKind::Finalizer, _) => "the others of its group".to_owned(),
        (WorkKind::Computation, _) => "its computation".to_owned(),
        (WorkKind::Child | WorkKind::ParallelChild | WorkKind::Daemon | WorkKind::Item, _) => {
            "a place under the limit of its group".to_owned()
        }
        _ => "its turn".to_owned(),
    }
}
