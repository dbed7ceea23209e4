-- Version 1. Times are milliseconds since 1970 in UTC.

CREATE SCHEMA IF NOT EXISTS nexios_jobs;

CREATE FUNCTION nexios_jobs.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- What graphile-worker does not keep. As long as a job lives it is in graphile-worker's table as well, under the key
-- 'nexios_jobs:' and its number, or, if it was put in by others, with the number in `queue_id`.
-- state: 1 waits, 2 runs, 4 completed, 5 failed, 6 cancelled, 7 dead.
CREATE TABLE nexios_jobs.jobs (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    queue_id bigint,
    -- Whether others put it in.
    is_adopted boolean NOT NULL DEFAULT false,
    kind text NOT NULL,
    key text,
    priority smallint NOT NULL,
    state smallint NOT NULL,
    run_at bigint NOT NULL,
    created bigint NOT NULL,
    ended bigint,
    -- How long it stays when it has ended, and until when.
    keep bigint NOT NULL,
    until bigint,
    -- The attempts that count, and how many it may have.
    attempt integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 1,
    -- The number of its starts; whoever says something of a run names it.
    fence bigint NOT NULL DEFAULT 0,
    worker text,
    cancelled boolean NOT NULL DEFAULT false,
    done bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    message text,
    -- The newest attempts.
    history jsonb NOT NULL DEFAULT '[]',
    error text,
    origin text,
    args text NOT NULL,
    result text
);
CREATE UNIQUE INDEX ON nexios_jobs.jobs (queue_id) WHERE is_adopted;
CREATE INDEX ON nexios_jobs.jobs (worker) WHERE state = 2;
CREATE INDEX ON nexios_jobs.jobs (kind, run_at) WHERE state = 1;
CREATE INDEX ON nexios_jobs.jobs (until) WHERE until IS NOT NULL;
CREATE INDEX ON nexios_jobs.jobs (state, id) WHERE state <> 4;
CREATE INDEX ON nexios_jobs.jobs (kind, id);
CREATE INDEX ON nexios_jobs.jobs (key, id) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique ON nexios_jobs.jobs (kind, key) WHERE key IS NOT NULL AND state < 4;

CREATE TABLE nexios_jobs.paused (kind text PRIMARY KEY);

CREATE TABLE nexios_jobs.ticks (
    schedule text NOT NULL,
    time bigint NOT NULL,
    PRIMARY KEY (schedule, time)
);

CREATE TABLE nexios_jobs.signals (
    name text PRIMARY KEY,
    count bigint NOT NULL
);

-- graphile-worker takes what is first of all kinds; ours claims kind by kind, each up to its own limit.
CREATE INDEX nexios_jobs_due ON graphile_worker._private_jobs (task_id, priority, run_at) WHERE is_available;

-- Puts jobs of ours into graphile-worker's table.
CREATE FUNCTION nexios_jobs.queue(ids bigint[]) RETURNS void LANGUAGE sql AS $$
    SELECT FROM graphile_worker.add_jobs(ARRAY(
        SELECT (kind, args::json, NULL, to_timestamp(run_at / 1000.0), 32767, 'nexios_jobs:' || id, priority, NULL)::graphile_worker.job_spec
        FROM nexios_jobs.jobs WHERE id = ANY (ids) ORDER BY id
    ))
$$;

-- Lets go of what a worker holds there: it waits again until the time, or it is gone if there is none.
CREATE FUNCTION nexios_jobs.release(queue bigint, again_at bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE graphile_worker._private_job_queues AS queues SET locked_by = NULL, locked_at = NULL
    FROM graphile_worker._private_jobs AS jobs
    WHERE jobs.id = queue AND queues.id = jobs.job_queue_id AND queues.locked_by = jobs.locked_by;
    UPDATE graphile_worker._private_jobs
    SET locked_by = NULL, locked_at = NULL, attempts = 0, run_at = to_timestamp(again_at / 1000.0), updated_at = now()
    WHERE id = queue AND again_at IS NOT NULL;
    DELETE FROM graphile_worker._private_jobs WHERE id = queue AND again_at IS NULL;
$$;

CREATE TABLE nexios_jobs.schema (
    version bigint NOT NULL,
    -- The beginning of the idempotency keys.
    name text NOT NULL
);
