//! The tables of `newsroom.db`, step by step: an older database is brought up to date and keeps what it has.

use anyhow::ensure;
use sqlx::{AssertSqlSafe, SqliteConnection};

/// In the order of their invention; a database knows by `user_version` how many it has.
const STEPS: [&str; 2] = [
    include_str!("schema/1_first.sql"),
    include_str!("schema/2_states_of_newsletters.sql"),
];

/// Makes the tables that a database does not have yet.
pub(super) async fn bring_up_to_date(db: &mut SqliteConnection) -> anyhow::Result<()> {
    let version = version(db).await?;
    ensure!(
        version <= STEPS.len(),
        "it was made by a newer version of this service"
    );
    for step in &STEPS[version..] {
        sqlx::raw_sql(*step).execute(&mut *db).await?;
    }
    // Written even if it says so already: a database that cannot be written is found now.
    let number = format!("PRAGMA user_version = {}", STEPS.len());
    sqlx::raw_sql(AssertSqlSafe(number)).execute(db).await?;
    Ok(())
}

async fn version(db: &mut SqliteConnection) -> sqlx::Result<usize> {
    let version: u32 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *db)
        .await?;
    let users: u32 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'users'")
        .fetch_one(db)
        .await?;
    // The first step did not count itself.
    let unnumbered = version == 0 && users > 0;
    Ok(if unnumbered { 1 } else { version as usize })
}
