-- _CLAIM
-- on sqlite
UPDATE runs
SET status='running', attempt=:attempt, crashes=:crashes, in_flight=:in_flight, last_seq=:last_seq,
    lease_owner=:server, lease_token=:token, due_at=:until, is_resume_unlogged=0, missing_tool=NULL,
    started_at=coalesce(runs.started_at, :now), moved_at=:now
WHERE runs.id = :run_id
RETURNING id;
WITH input_rows (run_id, server, token, until, attempt, crashes, in_flight, last_seq, now) AS (VALUES (?, ?,
    ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?))
UPDATE runs
SET status='running', attempt=input_rows.attempt, crashes=input_rows.crashes, in_flight=input_rows.in_flight,
    last_seq=input_rows.last_seq, lease_owner=input_rows.server, lease_token=input_rows.token,
    due_at=input_rows.until, is_resume_unlogged=0, missing_tool=NULL, started_at=coalesce(runs.started_at,
    input_rows.now), moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING id;
-- on postgresql
UPDATE runs
SET status='running', attempt=:attempt::BIGINT, crashes=:crashes::BIGINT, in_flight=:in_flight::INTEGER,
    last_seq=:last_seq::BIGINT, lease_owner=:server::VARCHAR COLLATE "C", lease_token=:token::BIGINT,
    due_at=:until::TIMESTAMP WITH TIME ZONE, is_resume_unlogged=0, missing_tool=NULL,
    started_at=coalesce(runs.started_at, :now::TIMESTAMP WITH TIME ZONE),
    moved_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C"
RETURNING runs.id;
WITH input_rows (run_id, server, token, until, attempt, crashes, in_flight, last_seq,
    now) AS (SELECT unnest(:run_id::TEXT[]), unnest(:server::TEXT[]), unnest(:token::BIGINT[]),
    unnest(:until::TIMESTAMP WITH TIME ZONE[]), unnest(:attempt::BIGINT[]), unnest(:crashes::BIGINT[]),
    unnest(:in_flight::INTEGER[]), unnest(:last_seq::BIGINT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET status='running', attempt=input_rows.attempt, crashes=input_rows.crashes, in_flight=input_rows.in_flight,
    last_seq=input_rows.last_seq, lease_owner=input_rows.server, lease_token=input_rows.token,
    due_at=input_rows.until, is_resume_unlogged=0, missing_tool=NULL, started_at=coalesce(runs.started_at,
    input_rows.now), moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING runs.id;

-- _DEFINITION
-- on sqlite
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- _LOCKED
-- on sqlite
SELECT runs.lease_token, runs.lease_owner
FROM runs
WHERE runs.id = :run_id;
-- on postgresql
SELECT runs.lease_token, runs.lease_owner
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" FOR UPDATE;
