//! The tables of `newsroom.db`, step by step: an older database is brought up to date and keeps what it has.

use anyhow::ensure;
use rusqlite::{Connection, Transaction};

/// In the order of their invention; a database knows by `user_version` how many it has.
const STEPS: [&str; 2] = [
    include_str!("schema/1_first.sql"),
    include_str!("schema/2_states_of_newsletters.sql"),
];

/// Makes the tables that a database does not have yet.
pub(super) fn bring_up_to_date(db: &Transaction<'_>) -> anyhow::Result<()> {
    let version = version(db)?;
    ensure!(
        version <= STEPS.len(),
        "it was made by a newer version of this service"
    );
    for step in &STEPS[version..] {
        db.execute_batch(step)?;
    }
    // Written even if it says so already: a database that cannot be written is found now.
    db.pragma_update(None, "user_version", STEPS.len())?;
    Ok(())
}

fn version(db: &Connection) -> rusqlite::Result<usize> {
    let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // The first step did not count itself.
    let unnumbered = version == 0 && db.table_exists(None, "users")?;
    Ok(if unnumbered { 1 } else { version })
}
