//! Newsletters and how they ended.

use nexios_jobs::JobId;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use sqlx::AssertSqlSafe;

use super::{
    deliveries::Counts,
    letter::Letter,
    store::{NOW, Pool, on},
};

/// So many newsletters are in a list at most.
const LISTED: i64 = 50;
const COLUMNS: &str = "id, subject, state, created, total, sent, failed, in_doubt";
type Columns = (i64, String, String, String, i64, i64, i64, i64);

/// A newsletter, and how far it came.
#[derive(Debug)]
pub(crate) struct Newsletter {
    id: i64,
    subject: String,
    state: String,
    created: String,
    total: i64,
    sent: i64,
    failed: i64,
    in_doubt: i64,
}

impl Newsletter {
    fn of(row: Columns) -> Self {
        let (id, subject, state, created, total, sent, failed, in_doubt) = row;
        Newsletter {
            id,
            subject,
            state,
            created,
            total,
            sent,
            failed,
            in_doubt,
        }
    }

    /// How many certainly did not get it and may still.
    fn left(&self) -> i64 {
        (self.total - self.sent - self.failed - self.in_doubt).max(0)
    }

    /// As in `stopped: 3 sent, 1 in doubt, 8 left`.
    fn summary(&self) -> String {
        let Newsletter {
            state,
            sent,
            failed,
            in_doubt,
            ..
        } = self;
        let failed = if *failed > 0 {
            format!(", {failed} failed")
        } else {
            String::new()
        };
        format!(
            "{state}: {sent} sent, {in_doubt} in doubt, {} left{failed}",
            self.left()
        )
    }
}

impl Serialize for Newsletter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Newsletter", 10)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("subject", &self.subject)?;
        fields.serialize_field("created", &self.created)?;
        fields.serialize_field("state", &self.state)?;
        fields.serialize_field("total", &self.total)?;
        fields.serialize_field("sent", &self.sent)?;
        fields.serialize_field("failed", &self.failed)?;
        fields.serialize_field("in_doubt", &self.in_doubt)?;
        fields.serialize_field("left", &self.left())?;
        fields.serialize_field("summary", &self.summary())?;
        fields.end()
    }
}

/// A newsletter that is in the database: its number, how many shall get it, and the subscribers that its parts end with.
pub(super) struct Entered {
    pub(super) id: i64,
    pub(super) total: u64,
    pub(super) ends: Vec<i64>,
}

/// How a newsletter ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    Completed,
    Failed,
    Stopped,
}

impl Ended {
    fn state(self) -> &'static str {
        match self {
            Ended::Completed => "completed",
            Ended::Failed => "failed",
            Ended::Stopped => "stopped",
        }
    }
}

#[derive(Clone)]
pub(super) struct Register(Pool);

impl Register {
    pub(super) fn new(pool: Pool) -> Self {
        Register(pool)
    }

    /// Those that are under way as far as anybody has written down, with their jobs.
    pub(super) async fn open(&self) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let open = "SELECT id, job FROM newsroom_newsletters WHERE state = 'sending'";
        on!(&self.0, db => sqlx::query_as(open).fetch_all(db).await)
    }

    /// The newsletter of this job, if it has been begun.
    pub(super) async fn find(&self, job: JobId) -> Result<Option<Entered>, sqlx::Error> {
        let find = "SELECT id, total, plan FROM newsroom_newsletters WHERE job = $1";
        let row: Option<(i64, i64, String)> = on!(&self.0, db => sqlx::query_as(find)
            .bind(job.to_string())
            .fetch_optional(db).await)?;
        let Some((id, total, plan)) = row else {
            return Ok(None);
        };
        Ok(Some(Entered {
            id,
            total: total.cast_unsigned(),
            ends: serde_json::from_str(&plan).map_err(|error| sqlx::Error::Decode(error.into()))?,
        }))
    }

    /// Stores a newsletter, once for its job; one that has ended goes on.
    pub(super) async fn enter(
        &self,
        job: JobId,
        letter: &Letter,
        total: u64,
        ends: &[i64],
    ) -> Result<(), sqlx::Error> {
        let plan =
            serde_json::to_string(ends).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let enter = format!(
            "INSERT INTO newsroom_newsletters (job, subject, body, created, state, plan, total)
             VALUES ($1, $2, $3, {NOW}, 'sending', $4, $5)
             ON CONFLICT (job) DO UPDATE SET state = 'sending'"
        );
        on!(&self.0, db => sqlx::query(AssertSqlSafe(enter))
            .bind(job.to_string())
            .bind(&letter.subject)
            .bind(&letter.body)
            .bind(plan)
            .bind(total.cast_signed())
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// The text of a newsletter.
    pub(super) async fn letter(&self, newsletter: i64) -> Result<Letter, sqlx::Error> {
        let letter = "SELECT subject, body FROM newsroom_newsletters WHERE id = $1";
        let (subject, body) = on!(&self.0, db => sqlx::query_as(letter)
            .bind(newsletter)
            .fetch_one(db).await)?;
        Ok(Letter { subject, body })
    }

    /// Writes down how far it is.
    pub(super) async fn note(&self, newsletter: i64, counts: Counts) -> Result<(), sqlx::Error> {
        on!(&self.0, db => sqlx::query(
            "UPDATE newsroom_newsletters SET sent = $2, failed = $3, in_doubt = $4 WHERE id = $1",
        )
        .bind(newsletter)
        .bind(counts.sent.cast_signed())
        .bind(counts.failed.cast_signed())
        .bind(counts.in_doubt.cast_signed())
        .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// Writes down the end of a newsletter that nobody sends any more, unless somebody has.
    pub(super) async fn give_up(
        &self,
        newsletter: i64,
        ended: Ended,
        counts: Counts,
    ) -> Result<(), sqlx::Error> {
        on!(&self.0, db => sqlx::query(
            "UPDATE newsroom_newsletters SET state = $2, sent = $3, failed = $4, in_doubt = $5
             WHERE id = $1 AND state = 'sending'",
        )
        .bind(newsletter)
        .bind(ended.state())
        .bind(counts.sent.cast_signed())
        .bind(counts.failed.cast_signed())
        .bind(counts.in_doubt.cast_signed())
        .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// Writes down the end of a newsletter.
    pub(super) async fn close(
        &self,
        newsletter: i64,
        ended: Ended,
        total: u64,
        counts: Counts,
    ) -> Result<(), sqlx::Error> {
        on!(&self.0, db => sqlx::query(
            "UPDATE newsroom_newsletters SET state = $2, total = $3, sent = $4, failed = $5, in_doubt = $6
             WHERE id = $1",
        )
        .bind(newsletter)
        .bind(ended.state())
        .bind(total.cast_signed())
        .bind(counts.sent.cast_signed())
        .bind(counts.failed.cast_signed())
        .bind(counts.in_doubt.cast_signed())
        .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(())
    }

    /// The newest newsletters, newest first.
    pub(super) async fn newest(&self) -> Result<Vec<Newsletter>, sqlx::Error> {
        let newest =
            format!("SELECT {COLUMNS} FROM newsroom_newsletters ORDER BY id DESC LIMIT {LISTED}");
        let rows: Vec<Columns> = on!(
            &self.0,
            db => sqlx::query_as(AssertSqlSafe(newest)).fetch_all(db).await
        )?;
        Ok(rows.into_iter().map(Newsletter::of).collect())
    }
}
