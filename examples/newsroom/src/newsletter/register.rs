//! Newsletters and how they ended, in SQLite.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Row};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::letter::Letter;
use crate::sqlite::{Sqlite, SqliteError};

/// So many newsletters are in a list at most.
const LISTED: usize = 50;
const COLUMNS: &str = "id, subject, state, created, total, sent, failed, in_doubt";

/// A newsletter, and how far it came.
#[derive(Debug)]
pub(crate) struct Newsletter {
    pub(crate) id: u64,
    pub(crate) subject: String,
    state: String,
    created: String,
    total: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
}

impl Newsletter {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Newsletter {
            id: row.get(0)?,
            subject: row.get(1)?,
            state: row.get(2)?,
            created: row.get(3)?,
            total: row.get(4)?,
            sent: row.get(5)?,
            failed: row.get(6)?,
            in_doubt: row.get(7)?,
        })
    }

    /// How many certainly did not get it and may still.
    pub(crate) fn left(&self) -> u64 {
        self.total
            .saturating_sub(self.sent + self.failed + self.in_doubt)
    }

    /// As in `interrupted: 3 sent, 1 in doubt, 8 left`.
    pub(crate) fn summary(&self) -> String {
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

/// How a newsletter ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    Completed,
    Failed,
    Stopped,
    /// It did not; its service did.
    Interrupted,
}

impl Ended {
    fn state(self) -> &'static str {
        match self {
            Ended::Completed => "completed",
            Ended::Failed => "failed",
            Ended::Stopped => "stopped",
            Ended::Interrupted => "interrupted",
        }
    }
}

/// How many got a newsletter when it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
}

#[derive(Clone)]
pub(crate) struct Register {
    db: Sqlite,
    /// The ends that the database did not take, as its disk was full or it was locked: they are told nevertheless. No
    /// more than a list has, the newest ones.
    unwritten: Arc<Mutex<BTreeMap<u64, (Ended, Counts)>>>,
}

impl Register {
    pub(crate) fn new(db: Sqlite) -> Self {
        Register {
            db,
            unwritten: Arc::default(),
        }
    }

    /// Stores a newsletter; returns its id, and how many shall get it.
    pub(crate) async fn enter(&self, letter: Letter) -> Result<(u64, u64), SqliteError> {
        let entered = self.db.write(move |db| {
            let insert = "INSERT INTO newsletters (subject, body, total)
                          SELECT ?1, ?2, count(*) FROM subscribers RETURNING id, total";
            db.query_row(insert, (letter.subject, letter.body), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        });
        entered.await
    }

    /// Writes down the end of a newsletter. A delivery that is still `sending` is in doubt from then on.
    pub(crate) async fn close(
        &self,
        newsletter: u64,
        ended: Ended,
        counts: Counts,
    ) -> Result<(), SqliteError> {
        let closed = self.db.write(move |db| close(db, newsletter, ended)).await;
        if closed.is_err() {
            self.keep_unwritten(newsletter, ended, counts);
        }
        closed
    }

    /// Closes the newsletters that nobody is sending any more, and returns them.
    pub(crate) async fn interrupt(&self) -> Result<Vec<Newsletter>, SqliteError> {
        let interrupted = self.db.write(|db| {
            let mut found = Vec::new();
            let ids: Vec<u64> = {
                let mut sending =
                    db.prepare("SELECT id FROM newsletters WHERE state = 'sending'")?;
                sending
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?
            };
            for id in ids {
                close(db, id, Ended::Interrupted)?;
                let one = format!("SELECT {COLUMNS} FROM newsletters WHERE id = ?1");
                found.push(db.query_row(&one, [id], Newsletter::of)?);
            }
            Ok(found)
        });
        interrupted.await
    }

    pub(crate) async fn newest(&self) -> Result<Vec<Newsletter>, SqliteError> {
        self.list("TRUE").await
    }

    pub(crate) async fn newest_interrupted(&self) -> Result<Vec<Newsletter>, SqliteError> {
        self.list("state = 'interrupted'").await
    }

    async fn list(&self, which: &'static str) -> Result<Vec<Newsletter>, SqliteError> {
        let list = self.db.read(move |db| {
            let query = format!(
                "SELECT {COLUMNS} FROM newsletters WHERE {which} ORDER BY id DESC LIMIT {LISTED}"
            );
            db.prepare_cached(&query)?
                .query_map([], Newsletter::of)?
                .collect()
        });
        let mut list: Vec<Newsletter> = list.await?;
        let unwritten = self.unwritten();
        for newsletter in &mut list {
            if let Some((ended, counts)) = unwritten.get(&newsletter.id) {
                newsletter.state = ended.state().to_owned();
                Counts {
                    sent: newsletter.sent,
                    failed: newsletter.failed,
                    in_doubt: newsletter.in_doubt,
                } = *counts;
            }
        }
        Ok(list)
    }

    fn keep_unwritten(&self, newsletter: u64, ended: Ended, counts: Counts) {
        let mut unwritten = self.unwritten();
        unwritten.insert(newsletter, (ended, counts));
        if unwritten.len() > LISTED {
            unwritten.pop_first();
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, BTreeMap<u64, (Ended, Counts)>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn close(db: &Connection, newsletter: u64, ended: Ended) -> rusqlite::Result<()> {
    let in_doubt = db.execute(
        "UPDATE deliveries SET state = 'in doubt', error = 'cut off', updated = CURRENT_TIMESTAMP
         WHERE newsletter_id = ?1 AND state = 'sending'",
        [newsletter],
    )?;
    db.execute(
        "UPDATE newsletters SET state = ?2, in_doubt = in_doubt + ?3 WHERE id = ?1",
        (newsletter, ended.state(), in_doubt),
    )?;
    Ok(())
}

/// Here because a database that takes nothing for so long is no test.
#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nexios::ThreadPool;

    use super::{Counts, Ended, LISTED, Register};
    use crate::sqlite::Sqlite;

    #[test]
    fn of_the_ends_that_the_database_did_not_take_as_many_are_kept_as_a_list_has() {
        let register = Register::new(Sqlite::new(
            PathBuf::new(),
            ThreadPool::builder().threads(1).build(),
        ));
        let counts = Counts {
            sent: 0,
            failed: 0,
            in_doubt: 0,
        };
        (1..=1_000).for_each(|id| register.keep_unwritten(id, Ended::Failed, counts));
        let kept: Vec<u64> = register.unwritten().keys().copied().collect();
        assert_eq!(kept.len(), LISTED);
        assert_eq!(kept.last(), Some(&1_000), "the newest ones are listed");
    }
}
