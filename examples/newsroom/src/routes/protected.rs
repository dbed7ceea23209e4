//! `GET /protected-operation?mode=ok|fail|hang`: what was taken is given back, whatever happens.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State},
};
use nexios::{CancelReason, Interrupted, TaskGroup};
use nexios_axum::{OrProblem, Problem};
use serde::Deserialize;
use tracing::Instrument;

use crate::{
    Newsroom,
    origin::Origin,
    protected::{Edition, Mode, RiskyError, reserve_front_page, start_press},
};

/// Nobody hangs for ever.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub(crate) struct Params {
    #[serde(default)]
    mode: Mode,
}

pub(crate) async fn protected_operation(
    State(Newsroom { protected, .. }): State<Newsroom>,
    origin: Origin,
    OrProblem(Query(Params { mode })): OrProblem<Query<Params>>,
) -> Result<Json<Edition>, Problem> {
    // It does something, so it is not for pages of other sites, though it is a GET.
    origin.must_be_ours()?;
    protected.started();
    let group = TaskGroup::builder()
        .name("protected operation")
        .timeout(LIMIT)
        .build();
    // When the request is given up it runs elsewhere, and its lines shall carry the request's id there too.
    group.defer(protected.clone().clean_up().in_current_span());
    let edition = group.run(async {
        let front_page = group.spawn_named("reserve front page", reserve_front_page(mode));
        let copies = group.spawn_named("start press", start_press(mode));
        Ok(Edition {
            front_page: front_page.await?,
            copies: copies.await?,
        })
    });
    let edition = edition.await;
    // The group hears of it from the request, which goes on until the cleanup has ended.
    if matches!(
        edition,
        Err(RiskyError::Interrupted(Interrupted::Cancelled(
            CancelReason::ClientDisconnected
        )))
    ) {
        protected.client_went_away();
    }
    Ok(Json(edition?))
}

impl From<RiskyError> for Problem {
    fn from(error: RiskyError) -> Self {
        match error {
            // Asked for by the client, and nevertheless as a fault of ours is answered: it is there to be shown.
            RiskyError::PaperJam => Problem::internal(&error),
            RiskyError::Interrupted(interrupted) => interrupted.into(),
        }
    }
}
