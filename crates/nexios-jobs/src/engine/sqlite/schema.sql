-- Version 1. Times are milliseconds since 1970 in UTC.

-- state: 0 waits for its time, 1 is due, 2 runs, 4 completed, 5 failed, 6 cancelled, 7 dead.
CREATE TABLE nexios_jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT,
    priority INTEGER NOT NULL,
    state INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    -- How long it stays when it has ended, and until when.
    keep INTEGER NOT NULL,
    until INTEGER,
    -- The attempts that count, and how many it may have.
    attempt INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 1,
    -- The number of its starts; whoever says something of a run names it.
    fence INTEGER NOT NULL DEFAULT 0,
    worker INTEGER,
    cancelled INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    message TEXT,
    -- The newest attempts, as JSON.
    history TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    origin TEXT,
    args TEXT NOT NULL,
    result TEXT
);
CREATE INDEX nexios_jobs_due ON nexios_jobs (kind, priority, run_at, id) WHERE state = 1;
CREATE INDEX nexios_jobs_later ON nexios_jobs (kind, run_at) WHERE state = 0;
CREATE INDEX nexios_jobs_running ON nexios_jobs (worker) WHERE state = 2;
CREATE INDEX nexios_jobs_ended ON nexios_jobs (until) WHERE until IS NOT NULL;
CREATE INDEX nexios_jobs_troubles ON nexios_jobs (state, id) WHERE state > 4;
CREATE INDEX nexios_jobs_kind ON nexios_jobs (kind, id);
CREATE INDEX nexios_jobs_key ON nexios_jobs (key, id) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX nexios_jobs_unique ON nexios_jobs (kind, key) WHERE key IS NOT NULL AND state < 4;

CREATE TABLE nexios_jobs_workers (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    expires INTEGER NOT NULL
);

CREATE TABLE nexios_jobs_paused (kind TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE nexios_jobs_ticks (
    schedule TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (schedule, time)
) WITHOUT ROWID;

CREATE TABLE nexios_jobs_signals (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE nexios_jobs_schema (
    version INTEGER NOT NULL,
    -- The beginning of the idempotency keys.
    name TEXT NOT NULL
);
