-- _ADVANCE
-- on sqlite
UPDATE runs
SET step=:step, current_node=:node, attempt=1, crashes=0, in_flight=1, last_seq=(runs.last_seq + :lines),
    failures=0, moved_at=:now
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.step = :step_before
    AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked;
WITH input_rows (run_id, token, step_before, step, node, lines, now) AS (VALUES (?, ?, ?, ?, ?, ?, ?), (?, ?,
    ?, ?, ?, ?, ?))
UPDATE runs
SET step=input_rows.step, current_node=input_rows.node, attempt=1, crashes=0, in_flight=1,
    last_seq=(runs.last_seq + input_rows.lines), failures=0, moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked;
-- on postgresql
UPDATE runs
SET step=:step::BIGINT, current_node=:node::VARCHAR, attempt=1, crashes=0, in_flight=1,
    last_seq=(runs.last_seq + :lines::BIGINT), failures=0, moved_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.step = :step_before::BIGINT AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked;
WITH input_rows (run_id, token, step_before, step, node, lines, now) AS (SELECT unnest(:run_id::TEXT[]),
    unnest(:token::BIGINT[]), unnest(:step_before::BIGINT[]), unnest(:step::BIGINT[]), unnest(:node::TEXT[]),
    unnest(:lines::BIGINT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET step=input_rows.step, current_node=input_rows.node, attempt=1, crashes=0, in_flight=1,
    last_seq=(runs.last_seq + input_rows.lines), failures=0, moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked;

-- _STAY
-- on sqlite
UPDATE runs
SET step=:step, current_node=:node, last_seq=(runs.last_seq + :lines), moved_at=:now
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.step = :step_before
    AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked;
WITH input_rows (run_id, token, step_before, step, node, lines, now) AS (VALUES (?, ?, ?, ?, ?, ?, ?), (?, ?,
    ?, ?, ?, ?, ?))
UPDATE runs
SET step=input_rows.step, current_node=input_rows.node, last_seq=(runs.last_seq + input_rows.lines),
    moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked;
-- on postgresql
UPDATE runs
SET step=:step::BIGINT, current_node=:node::VARCHAR, last_seq=(runs.last_seq + :lines::BIGINT),
    moved_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.step = :step_before::BIGINT AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked;
WITH input_rows (run_id, token, step_before, step, node, lines, now) AS (SELECT unnest(:run_id::TEXT[]),
    unnest(:token::BIGINT[]), unnest(:step_before::BIGINT[]), unnest(:step::BIGINT[]), unnest(:node::TEXT[]),
    unnest(:lines::BIGINT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET step=input_rows.step, current_node=input_rows.node, last_seq=(runs.last_seq + input_rows.lines),
    moved_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked;

-- _REST
-- on sqlite
UPDATE runs
SET status=:status, step=:step, current_node=:node, attempt=:attempt, crashes=:crashes,
    last_seq=(runs.last_seq + :lines), lease_owner=NULL, due_at=:due_at, error=:error, failures=:failures,
    moved_at=:now, finished_at=:finished_at
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.step = :step_before
    AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked, notify;
WITH input_rows (run_id, token, step_before, step, node, lines, now, status, attempt, failures, crashes,
    due_at, error, finished_at) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?, ?))
UPDATE runs
SET status=input_rows.status, step=input_rows.step, current_node=input_rows.node, attempt=input_rows.attempt,
    crashes=input_rows.crashes, last_seq=(runs.last_seq + input_rows.lines), lease_owner=NULL,
    due_at=input_rows.due_at, error=input_rows.error, failures=input_rows.failures, moved_at=input_rows.now,
    finished_at=input_rows.finished_at
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING id, lease_token, last_seq, pause_asked, notify;
-- on postgresql
UPDATE runs
SET status=:status::VARCHAR, step=:step::BIGINT, current_node=:node::VARCHAR, attempt=:attempt::BIGINT,
    crashes=:crashes::BIGINT, last_seq=(runs.last_seq + :lines::BIGINT), lease_owner=NULL,
    due_at=:due_at::TIMESTAMP WITH TIME ZONE, error=:error::VARCHAR, failures=:failures::BIGINT,
    moved_at=:now::TIMESTAMP WITH TIME ZONE, finished_at=:finished_at::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.step = :step_before::BIGINT AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked, runs.notify;
WITH input_rows (run_id, token, step_before, step, node, lines, now, status, attempt, failures, crashes,
    due_at, error, finished_at) AS (SELECT unnest(:run_id::TEXT[]), unnest(:token::BIGINT[]),
    unnest(:step_before::BIGINT[]), unnest(:step::BIGINT[]), unnest(:node::TEXT[]), unnest(:lines::BIGINT[]),
    unnest(:now::TIMESTAMP WITH TIME ZONE[]), unnest(:status::TEXT[]), unnest(:attempt::BIGINT[]),
    unnest(:failures::BIGINT[]), unnest(:crashes::BIGINT[]), unnest(:due_at::TIMESTAMP WITH TIME ZONE[]),
    unnest(:error::TEXT[]), unnest(:finished_at::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET status=input_rows.status, step=input_rows.step, current_node=input_rows.node, attempt=input_rows.attempt,
    crashes=input_rows.crashes, last_seq=(runs.last_seq + input_rows.lines), lease_owner=NULL,
    due_at=input_rows.due_at, error=input_rows.error, failures=input_rows.failures, moved_at=input_rows.now,
    finished_at=input_rows.finished_at
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token
    AND runs.step = input_rows.step_before AND runs.lease_owner IS NOT NULL
RETURNING runs.id, runs.lease_token, runs.last_seq, runs.pause_asked, runs.notify;

-- _COMMITTED
-- on sqlite
SELECT runs.status
FROM runs
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.step = :step;
-- on postgresql
SELECT runs.status
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.step = :step::BIGINT;
