-- The steps that are taken all the time, each one call: what a step costs is round trips and commits. Their plans must not
-- depend on statistics, which a queue that fills and empties outruns; so each row is looked up by its index.

-- Version 3. Those of the version before.
DROP FUNCTION IF EXISTS nexios_jobs.add;
DROP FUNCTION IF EXISTS nexios_jobs.step;

-- Adds one job, or finds the living one that has its key. No number: others took the key and ended all the time.
CREATE FUNCTION nexios_jobs.add(
    kind_ text, key_ text, priority_ smallint, starts_at bigint, starts_after bigint, keep_ bigint, origin_ text, args_ text,
    OUT job bigint, OUT was_new boolean, OUT moment bigint
) LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    moment := nexios_jobs.now_ms();
    FOR try IN 1..10 LOOP
        INSERT INTO nexios_jobs.jobs (kind, key, priority, state, run_at, created, keep, origin, args)
        VALUES (kind_, key_, priority_, 1, coalesce(starts_at, moment + starts_after), moment, keep_, origin_, args_)
        ON CONFLICT (kind, key) WHERE key IS NOT NULL AND state < 4 DO NOTHING
        RETURNING id INTO job;
        was_new := FOUND;
        IF FOUND THEN
            PERFORM nexios_jobs.queue(ARRAY[job]);
            RETURN;
        END IF;
        SELECT id INTO job FROM nexios_jobs.jobs WHERE kind = kind_ AND key = key_ AND state < 4;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END $$;

-- One step of a worker: writes how runs ended, then starts waiting jobs. Returns, for each end that was written, its place
-- and what became of the job; for each job that was started, its run and
-- what was said last of it; and last, without a number, the moment, and when the
-- next job of these kinds is due.
CREATE FUNCTION nexios_jobs.step(
    worker_ text, host text, pid bigint, remembered integer, stranger_keep bigint,
    ended_jobs bigint[], ended_fences bigint[], outcomes smallint[], afters bigint[], words text[], uncounted integer[],
    results text[], errors text[], dones bigint[], totals bigint[], messages text[],
    kinds text[], slots integer[], most_attempts integer[], keeps bigint[]
) RETURNS TABLE (
    place bigint, job bigint, fence bigint, state bigint, attempt bigint, run_at bigint, priority smallint,
    kind text, args text, origin text, done bigint, total bigint, message text
) LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    due timestamptz := clock_timestamp();
    moment bigint := floor(extract(epoch FROM due) * 1000);
    is_known boolean := false;
    wanted record;
    written bigint;
    queued bigint[];
    known bigint[];
BEGIN
    IF cardinality(ended_jobs) > 0 THEN
        RETURN QUERY
        WITH said AS (
            SELECT * FROM unnest(ended_jobs, ended_fences, outcomes, afters, words, uncounted, results, errors, dones, totals, messages)
                WITH ORDINALITY AS said (job, fence, outcome, after, word, back, result, error, done, total, message, place)
        ), ended AS (
            UPDATE nexios_jobs.jobs AS jobs SET
                state = CASE WHEN cancelled AND outcome <> 4 THEN 6 ELSE outcome END,
                run_at = CASE WHEN cancelled THEN jobs.run_at ELSE coalesce(moment + after, jobs.run_at) END,
                ended = CASE WHEN cancelled OR outcome >= 4 THEN moment END,
                until = CASE WHEN cancelled OR outcome >= 4 THEN moment + keep END,
                attempt = jobs.attempt - CASE WHEN cancelled THEN 0 ELSE back END,
                result = said.result,
                error = CASE WHEN cancelled THEN jobs.error ELSE coalesce(said.error, jobs.error) END,
                history = jsonb_set(history, '{-1}', history -> -1 || jsonb_build_object('ended', moment,
                    'end', CASE WHEN cancelled AND outcome <> 4 THEN 'cancelled' ELSE word END,
                    'error', CASE WHEN NOT cancelled THEN said.error END)),
                done = coalesce(said.done, jobs.done), total = coalesce(said.total, jobs.total),
                message = coalesce(said.message, jobs.message),
                worker = NULL
            FROM said WHERE jobs.id = said.job AND jobs.fence = said.fence AND jobs.state = 2
            RETURNING said.place, jobs.state, jobs.attempt, jobs.run_at, jobs.queue_id
        ), freed AS (
            UPDATE graphile_worker._private_job_queues AS queues SET locked_by = NULL, locked_at = NULL
            FROM ended, graphile_worker._private_jobs AS queued
            WHERE queued.id = ended.queue_id AND queues.id = queued.job_queue_id AND queues.locked_by = queued.locked_by
        ), again AS (
            UPDATE graphile_worker._private_jobs AS queued
            SET locked_by = NULL, locked_at = NULL, attempts = 0, run_at = to_timestamp(ended.run_at / 1000.0), updated_at = due
            FROM ended WHERE queued.id = ended.queue_id AND ended.state = 1
        ), gone AS (
            DELETE FROM graphile_worker._private_jobs AS queued USING ended
            WHERE queued.id = ended.queue_id AND ended.state <> 1
        )
        SELECT ended.place, NULL::bigint, NULL::bigint, ended.state::bigint, ended.attempt::bigint, ended.run_at, NULL::smallint,
            NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::text
        FROM ended;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written < cardinality(ended_jobs) THEN
            -- By a call whose answer was lost? The end of a run is written once: by its own worker, or by whoever took its job
            -- away, who says so. One that has begun again since was to be tried again.
            RETURN QUERY
            SELECT said.place, NULL::bigint, NULL::bigint, CASE WHEN jobs.fence = said.fence THEN jobs.state ELSE 1 END::bigint,
                CASE WHEN jobs.fence = said.fence THEN jobs.attempt ELSE greatest(jobs.attempt, 1) END::bigint, jobs.run_at, NULL::smallint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::text
            FROM unnest(ended_jobs, ended_fences) WITH ORDINALITY AS said (job, fence, place)
                JOIN nexios_jobs.jobs AS jobs ON jobs.id = said.job
            WHERE EXISTS (SELECT 1 FROM jsonb_array_elements(jobs.history) AS run
                WHERE (run -> 'fence')::bigint = said.fence AND run ->> 'end' <> 'lost');
        END IF;
        PERFORM pg_notify('nexios_jobs', '');
        -- What is to run again at once is due by now.
        due := clock_timestamp();
    END IF;

    FOR wanted IN
        SELECT wish.kind, wish.slots, wish.attempts, wish.keep, tasks.id AS task
        FROM unnest(kinds, slots, most_attempts, keeps) AS wish (kind, slots, attempts, keep)
            JOIN graphile_worker._private_tasks AS tasks ON tasks.identifier = wish.kind
        WHERE NOT EXISTS (SELECT 1 FROM nexios_jobs.paused WHERE paused.kind = wish.kind)
            -- A look takes no lock: workers that find nothing are in nobody's way.
            AND (SELECT true FROM graphile_worker._private_jobs AS jobs
                WHERE jobs.is_available AND jobs.task_id = tasks.id AND jobs.run_at <= due LIMIT 1)
    LOOP
        IF NOT is_known THEN
            -- Locked, so that it is not given up before this is done.
            PERFORM 1 FROM graphile_worker._private_workers WHERE id = worker_ FOR KEY SHARE;
            EXIT WHEN NOT FOUND;
            is_known := true;
        END IF;

        -- As graphile-worker claims, for one kind.
        WITH candidates AS (
            SELECT jobs.job_queue_id, jobs.priority, jobs.run_at, jobs.id
            FROM graphile_worker._private_jobs AS jobs
            WHERE jobs.is_available AND jobs.run_at <= due AND jobs.task_id = wanted.task
                AND (jobs.job_queue_id IS NULL OR jobs.job_queue_id IN (
                    SELECT queues.id FROM graphile_worker._private_job_queues AS queues
                    WHERE queues.is_available FOR UPDATE SKIP LOCKED))
            ORDER BY jobs.priority, jobs.run_at
            LIMIT wanted.slots
            FOR UPDATE SKIP LOCKED
        ), chosen AS (
            SELECT DISTINCT ON (job_queue_id, CASE WHEN job_queue_id IS NULL THEN id END) job_queue_id, id
            FROM candidates
            ORDER BY job_queue_id, CASE WHEN job_queue_id IS NULL THEN id END, priority, run_at, id
        ), locked AS (
            UPDATE graphile_worker._private_job_queues AS queues SET locked_by = worker_, locked_at = due
            FROM chosen WHERE queues.id = chosen.job_queue_id
        ), taken AS (
            UPDATE graphile_worker._private_jobs AS jobs SET attempts = jobs.attempts + 1, locked_by = worker_, locked_at = due
            FROM chosen WHERE jobs.id = chosen.id
            RETURNING jobs.id, CASE WHEN jobs.key ~ '^nexios_jobs:[0-9]{1,18}$' THEN substr(jobs.key, 13)::bigint END AS known
        )
        SELECT array_agg(taken.id), array_agg(taken.known) INTO queued, known FROM taken;
        CONTINUE WHEN queued IS NULL;

        IF array_position(known, NULL) IS NOT NULL THEN
            -- Others have put them in, by SQL, a trigger or Node: they get a row when they are first claimed.
            INSERT INTO nexios_jobs.jobs (queue_id, is_adopted, kind, priority, state, run_at, created, keep, args)
            SELECT jobs.id, true, wanted.kind, jobs.priority, 1, floor(extract(epoch FROM jobs.run_at) * 1000),
                least(moment, floor(extract(epoch FROM jobs.created_at) * 1000)), stranger_keep, jobs.payload::text
            FROM unnest(queued, known) AS found (queued, known) JOIN graphile_worker._private_jobs AS jobs ON jobs.id = found.queued
            WHERE found.known IS NULL
            ON CONFLICT (queue_id) WHERE is_adopted DO NOTHING;
            SELECT array_agg(found.queued), array_agg(coalesce(found.known, jobs.id)) INTO queued, known
            FROM unnest(queued, known) AS found (queued, known)
                LEFT JOIN nexios_jobs.jobs AS jobs ON jobs.queue_id = found.queued AND jobs.is_adopted;
        END IF;

        RETURN QUERY
        UPDATE nexios_jobs.jobs AS jobs SET state = 2, worker = worker_, queue_id = found.queued, fence = jobs.fence + 1,
            attempt = jobs.attempt + 1, attempts = wanted.attempts, keep = wanted.keep,
            history = (CASE WHEN jsonb_array_length(history) >= remembered THEN history - 0 ELSE history END)
                || jsonb_build_array(jsonb_build_object('fence', jobs.fence + 1, 'n', jobs.attempt + 1, 'started', moment, 'host', host, 'pid', pid))
        FROM unnest(queued, known) AS found (queued, known)
        WHERE jobs.id = found.known AND jobs.state = 1
        RETURNING NULL::bigint, jobs.id, jobs.fence, jobs.state::bigint, jobs.attempt::bigint, jobs.run_at, jobs.priority, jobs.kind,
            jobs.args, jobs.origin, jobs.done, jobs.total, jobs.message;
    END LOOP;

    RETURN QUERY
    SELECT NULL::bigint, NULL::bigint, moment, NULL::bigint, NULL::bigint, (
        SELECT min((
            SELECT jobs.run_at FROM nexios_jobs.jobs AS jobs
            WHERE jobs.state = 1 AND jobs.kind = wish AND jobs.run_at > moment ORDER BY jobs.run_at LIMIT 1))
        FROM unnest(kinds) AS wish WHERE NOT EXISTS (SELECT 1 FROM nexios_jobs.paused WHERE paused.kind = wish)
    ), NULL::smallint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::text;
END $$;
