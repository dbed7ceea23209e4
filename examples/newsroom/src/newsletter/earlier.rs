//! Newsletters of the time before they were jobs: they are in the data of the service, and stay in the list.

use sqlx::Row;

use super::store::{Pool, StoreError, on};
use crate::sqlite::Sqlite;

/// Brings them over to where newsletters are now, each once. They come first, so that no number is given again that mails
/// in the outbox bear already.
pub(super) async fn bring_over(from: &Sqlite, to: &Pool) -> Result<(), StoreError> {
    let mut data = from.reader().await?;
    // Nobody sends what was being sent then: those under way are in doubt.
    let found = sqlx::query(
        "SELECT id, subject, body, created, CASE state WHEN 'sending' THEN 'interrupted' ELSE state END,
                total, sent, failed, in_doubt + (SELECT count(*) FROM deliveries
                    WHERE newsletter_id = newsletters.id AND deliveries.state = 'sending')
         FROM newsletters ORDER BY id",
    )
    .fetch_all(&mut *data)
    .await?;
    on!(to, to => {
        let mut transaction = to.begin().await?;
        for row in found {
            let (id, created): (i64, String) = (row.try_get(0)?, row.try_get(3)?);
            let mut bring = sqlx::query(
                "INSERT INTO newsroom_newsletters
                     (job, subject, body, created, state, plan, total, sent, failed, in_doubt)
                 VALUES ($1, $2, $3, $4, $5, '[]', $6, $7, $8, $9) ON CONFLICT (job) DO NOTHING",
            )
            // Two services that share their jobs have each their own.
            .bind(format!("none: {id} of {created}"))
            .bind(row.try_get::<String, _>(1)?)
            .bind(row.try_get::<String, _>(2)?)
            .bind(created)
            .bind(row.try_get::<String, _>(4)?);
            for count in 5..=8 {
                bring = bring.bind(row.try_get::<i64, _>(count)?);
            }
            bring.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    })
}
