//! Who got which newsletter.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::{
    part::Part,
    store::{NOW, Pool, on},
};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Failed,
    InDoubt,
    /// Refused for now, to be tried again.
    Deferred,
}

impl Fate {
    pub(super) fn state(self) -> &'static str {
        match self {
            Fate::Sent => "sent",
            Fate::Failed => "failed",
            Fate::InDoubt => "in doubt",
            Fate::Deferred => "deferred",
        }
    }
}

/// How many deliveries are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) in_doubt: u64,
    /// Those to be tried again.
    pub(super) deferred: u64,
    /// Those whose text is going out.
    pub(super) sending: u64,
}

#[derive(Clone)]
pub(super) struct Deliveries(Pool);

/// Every change is one statement, which is in the database when it has returned: SQLite tells of a full disk with the commit, and
/// a statement that gives a row back (`RETURNING`) has nobody left to tell.
impl Deliveries {
    pub(super) fn new(pool: Pool) -> Self {
        Deliveries(pool)
    }

    /// Those of a part that have a row, with its state.
    pub(super) async fn states(&self, part: &Part) -> Result<HashMap<i64, String>, sqlx::Error> {
        let rows: Vec<(i64, String)> = on!(&self.0, db => sqlx::query_as(
            "SELECT subscriber, state FROM newsroom_deliveries
             WHERE newsletter = $1 AND subscriber > $2 AND subscriber <= $3",
        )
        .bind(part.newsletter)
        .bind(part.after)
        .bind(part.up_to)
        .fetch_all(db).await)?;
        Ok(rows.into_iter().collect())
    }

    /// Makes the delivery ours; false when it is somebody's already.
    pub(super) async fn claim(
        &self,
        newsletter: i64,
        subscriber: i64,
    ) -> Result<bool, sqlx::Error> {
        let claim = format!(
            "INSERT INTO newsroom_deliveries (newsletter, subscriber, state, updated)
             VALUES ($1, $2, 'sending', {NOW})
             ON CONFLICT (newsletter, subscriber) DO UPDATE
             SET state = 'sending', error = '', reason = '', updated = excluded.updated
             WHERE newsroom_deliveries.state = 'deferred'"
        );
        let claimed = on!(&self.0, db => sqlx::query(AssertSqlSafe(claim))
            .bind(newsletter)
            .bind(subscriber)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(claimed > 0)
    }

    /// Gives the claim back: the mail did not go out.
    pub(super) async fn release(
        &self,
        newsletter: i64,
        subscriber: i64,
    ) -> Result<(), sqlx::Error> {
        on!(&self.0, db => sqlx::query(
            "DELETE FROM newsroom_deliveries
             WHERE newsletter = $1 AND subscriber = $2 AND state = 'sending'",
        )
        .bind(newsletter)
        .bind(subscriber)
        .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// Writes down what became of the delivery. Who took it for lost meanwhile has put it in doubt, and this is the truth.
    pub(super) async fn settle(
        &self,
        newsletter: i64,
        subscriber: i64,
        fate: Fate,
        error: &str,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        let settle = format!(
            "INSERT INTO newsroom_deliveries (newsletter, subscriber, state, error, reason, updated)
             VALUES ($1, $2, $3, $4, $5, {NOW})
             ON CONFLICT (newsletter, subscriber) DO UPDATE
             SET state = excluded.state, error = excluded.error, reason = excluded.reason,
                 updated = excluded.updated
             WHERE newsroom_deliveries.state IN ('sending', 'deferred', 'in doubt')"
        );
        on!(&self.0, db => sqlx::query(AssertSqlSafe(settle))
            .bind(newsletter)
            .bind(subscriber)
            .bind(fate.state())
            .bind(error)
            .bind(reason)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// Whoever was sending these is no more: the text may have gone out.
    pub(super) async fn doubt(&self, part: &Part) -> Result<(), sqlx::Error> {
        self.doubt_those(part.newsletter, part.after, part.up_to)
            .await
    }

    /// Nobody is sending any of it.
    pub(super) async fn doubt_all(&self, newsletter: i64) -> Result<(), sqlx::Error> {
        self.doubt_those(newsletter, i64::MIN, i64::MAX).await
    }

    async fn doubt_those(
        &self,
        newsletter: i64,
        after: i64,
        up_to: i64,
    ) -> Result<(), sqlx::Error> {
        let doubt = format!(
            "UPDATE newsroom_deliveries SET state = 'in doubt', error = 'cut off', updated = {NOW}
             WHERE newsletter = $1 AND subscriber > $2 AND subscriber <= $3 AND state = 'sending'"
        );
        on!(&self.0, db => sqlx::query(AssertSqlSafe(doubt))
            .bind(newsletter)
            .bind(after)
            .bind(up_to)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    pub(super) async fn count(&self, newsletter: i64) -> Result<Counts, sqlx::Error> {
        let rows: Vec<(String, i64)> = on!(&self.0, db => sqlx::query_as(
            "SELECT state, count(*) FROM newsroom_deliveries WHERE newsletter = $1 GROUP BY state",
        )
        .bind(newsletter)
        .fetch_all(db).await)?;
        let mut counts = Counts::default();
        for (state, count) in rows {
            let place = match state.as_str() {
                "sent" => &mut counts.sent,
                "failed" => &mut counts.failed,
                "in doubt" => &mut counts.in_doubt,
                "deferred" => &mut counts.deferred,
                _ => &mut counts.sending,
            };
            *place = count.cast_unsigned();
        }
        Ok(counts)
    }

    /// Why the last of those on the list who did not get it did not, fit for everybody's eyes.
    pub(super) async fn last_reason(&self, newsletter: i64) -> Result<String, sqlx::Error> {
        let reason: Option<String> = on!(&self.0, db => sqlx::query_scalar(
            "SELECT reason FROM newsroom_deliveries WHERE newsletter = $1 AND state <> 'sent'
             ORDER BY subscriber DESC LIMIT 1",
        )
        .bind(newsletter)
        .fetch_optional(db).await)?;
        Ok(reason.unwrap_or_default())
    }
}
