-- For SQLite and Postgres alike. `job` is the number of the job that sends it, and makes of a second start the same newsletter.
-- Those of before there were jobs are 'interrupted' where their service ended before they did. `plan` are the subscribers that its parts end with, as JSON.
CREATE TABLE IF NOT EXISTS newsroom_newsletters (
    id {number},
    job TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sending', 'completed', 'failed', 'stopped', 'interrupted')),
    plan TEXT NOT NULL,
    total BIGINT NOT NULL,
    sent BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    in_doubt BIGINT NOT NULL DEFAULT 0
);

-- The primary key is the promise that nobody gets a newsletter twice: a row is made before the text of a mail goes out.
CREATE TABLE IF NOT EXISTS newsroom_deliveries (
    newsletter BIGINT NOT NULL,
    subscriber BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sending', 'deferred', 'sent', 'failed', 'in doubt')),
    error TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    updated TEXT NOT NULL,
    PRIMARY KEY (newsletter, subscriber)
);
