-- _LOCKED
-- on sqlite
SELECT runs.status, runs.step, runs.current_node, runs.attempt, runs.failures, runs.pause_asked,
    runs.lease_token
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.status, runs.step, runs.current_node, runs.attempt, runs.failures, runs.pause_asked,
    runs.lease_token
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) FOR UPDATE;

-- _PARENT
-- on sqlite
SELECT runs.parent_id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.parent_id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _CANCEL
-- on sqlite
UPDATE runs
SET status='cancelled', current_node=NULL, last_seq=(runs.last_seq + 1), lease_owner=NULL,
    lease_token=(runs.lease_token + 1), due_at=NULL, pause_asked=0, missing_tool=NULL, moved_at=:now,
    finished_at=:now
WHERE runs.id = :run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused')
RETURNING id, last_seq, notify;
WITH input_rows (run_id, now) AS (VALUES (?, ?), (?, ?))
UPDATE runs
SET status='cancelled', current_node=NULL, last_seq=(runs.last_seq + 1), lease_owner=NULL,
    lease_token=(runs.lease_token + 1), due_at=NULL, pause_asked=0, missing_tool=NULL,
    moved_at=input_rows.now, finished_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused')
RETURNING id, last_seq, notify;
-- on postgresql
UPDATE runs
SET status='cancelled', current_node=NULL, last_seq=(runs.last_seq + 1), lease_owner=NULL,
    lease_token=(runs.lease_token + 1), due_at=NULL, pause_asked=0, missing_tool=NULL,
    moved_at=:now::TIMESTAMP WITH TIME ZONE, finished_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.status IN ('queued', 'running', 'waiting', 'paused')
RETURNING runs.id, runs.last_seq, runs.notify;
WITH input_rows (run_id, now) AS (SELECT unnest(:run_id::TEXT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET status='cancelled', current_node=NULL, last_seq=(runs.last_seq + 1), lease_owner=NULL,
    lease_token=(runs.lease_token + 1), due_at=NULL, pause_asked=0, missing_tool=NULL,
    moved_at=input_rows.now, finished_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused')
RETURNING runs.id, runs.last_seq, runs.notify;

-- _NODES
-- on sqlite
SELECT runs.id, runs.current_node
FROM runs
WHERE runs.id = :run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT runs.id, runs.current_node
FROM runs, input_rows
WHERE runs.id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');
-- on postgresql
SELECT runs.id, runs.current_node
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.status IN ('queued', 'running', 'waiting', 'paused');
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT runs.id, runs.current_node
FROM runs, input_rows
WHERE runs.id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');

-- _OPEN_CHILDREN
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.parent_id = :run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT runs.id
FROM runs, input_rows
WHERE runs.parent_id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.parent_id = :run_id::VARCHAR COLLATE "C" AND runs.status IN ('queued', 'running', 'waiting',
    'paused');
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT runs.id
FROM runs, input_rows
WHERE runs.parent_id = input_rows.run_id AND runs.status IN ('queued', 'running', 'waiting', 'paused');

-- _ASK_TO_PAUSE
-- on sqlite
UPDATE runs
SET pause_asked=:asked
WHERE runs.id = :run_id;
-- on postgresql
UPDATE runs
SET pause_asked=:asked::INTEGER
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _PAUSE
-- on sqlite
UPDATE runs
SET status='paused', last_seq=(runs.last_seq + 1), lease_owner=NULL, due_at=NULL, pause_asked=0,
    missing_tool=NULL
WHERE runs.id = :run_id AND runs.pause_asked = 1 AND (runs.status IN ('queued', 'waiting')
    OR runs.status = 'running' AND runs.lease_token = :token)
RETURNING id, last_seq, notify;
WITH input_rows (run_id, token) AS (VALUES (?, ?), (?, ?))
UPDATE runs
SET status='paused', last_seq=(runs.last_seq + 1), lease_owner=NULL, due_at=NULL, pause_asked=0,
    missing_tool=NULL
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.pause_asked = 1 AND (runs.status IN ('queued', 'waiting')
    OR runs.status = 'running' AND runs.lease_token = input_rows.token)
RETURNING id, last_seq, notify;
-- on postgresql
UPDATE runs
SET status='paused', last_seq=(runs.last_seq + 1), lease_owner=NULL, due_at=NULL, pause_asked=0,
    missing_tool=NULL
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.pause_asked = 1 AND (runs.status IN ('queued',
    'waiting') OR runs.status = 'running' AND runs.lease_token = :token::BIGINT)
RETURNING runs.id, runs.last_seq, runs.notify;
WITH input_rows (run_id, token) AS (SELECT unnest(:run_id::TEXT[]), unnest(:token::BIGINT[]))
UPDATE runs
SET status='paused', last_seq=(runs.last_seq + 1), lease_owner=NULL, due_at=NULL, pause_asked=0,
    missing_tool=NULL
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.pause_asked = 1 AND (runs.status IN ('queued', 'waiting')
    OR runs.status = 'running' AND runs.lease_token = input_rows.token)
RETURNING runs.id, runs.last_seq, runs.notify;

-- _RESUME
-- on sqlite
UPDATE runs
SET status=:status, step=(runs.step + :patched), attempt=:attempt, last_seq=(runs.last_seq + :count),
    due_at=:due, error=NULL, failures=:failures, patches=(runs.patches + :patched), pause_asked=0,
    is_resume_unlogged=0, moved_at=:now, finished_at=NULL
WHERE runs.id = :run_id
RETURNING last_seq, notify;
-- on postgresql
UPDATE runs
SET status=:status::VARCHAR, step=(runs.step + :patched::BIGINT), attempt=:attempt::BIGINT,
    last_seq=(runs.last_seq + :count::BIGINT), due_at=:due::TIMESTAMP WITH TIME ZONE, error=NULL,
    failures=:failures::BIGINT, patches=(runs.patches + :patched::BIGINT), pause_asked=0,
    is_resume_unlogged=0, moved_at=:now::TIMESTAMP WITH TIME ZONE, finished_at=NULL
WHERE runs.id = :run_id::VARCHAR COLLATE "C"
RETURNING runs.last_seq, runs.notify;

-- _LIMIT
-- on sqlite
UPDATE runs
SET max_steps=:limit
WHERE runs.id = :run_id;
-- on postgresql
UPDATE runs
SET max_steps=:limit::BIGINT
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _WAIT
-- on sqlite
SELECT waits.due_at
FROM waits
WHERE waits.run_id = :run_id;
-- on postgresql
SELECT waits.due_at
FROM waits
WHERE waits.run_id = :run_id::VARCHAR COLLATE "C";

-- _RESUMED_LINE
-- on sqlite
SELECT log_lines.seq
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq = :seq AND log_lines.event = 'run_resumed'
    AND log_lines.ts = :ts;
-- on postgresql
SELECT log_lines.seq
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq = :seq::BIGINT
    AND log_lines.event = 'run_resumed' AND log_lines.ts = :ts::TIMESTAMP WITH TIME ZONE;
