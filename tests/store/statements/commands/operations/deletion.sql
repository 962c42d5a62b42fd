-- _ASKED
-- on sqlite
SELECT runs.id, runs.status, parent.status AS status_1, EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions))) AS has_fork, EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused')) AS has_child
FROM runs
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT runs.id, runs.status, parent.status AS status_1,
    EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions))) AS has_fork, EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused')) AS has_child
FROM runs
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id, input_rows
WHERE runs.id = input_rows.run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id, runs.status, parent.status AS status_1, EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions))) AS has_fork, EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused')) AS has_child
FROM runs
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT runs.id, runs.status,
    parent.status AS status_1, EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions))) AS has_fork, EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused')) AS has_child
FROM runs
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id, input_rows
WHERE runs.id = input_rows.run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _CLOSE
-- on sqlite
UPDATE runs
SET status='cancelled', current_node=NULL, error=NULL
WHERE runs.id = :run_id AND runs.status = 'failed'
RETURNING id;
WITH input_rows (run_id) AS (VALUES (?), (?))
UPDATE runs
SET status='cancelled', current_node=NULL, error=NULL
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'failed'
RETURNING id;
-- on postgresql
UPDATE runs
SET status='cancelled', current_node=NULL, error=NULL
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.status = 'failed'
RETURNING runs.id;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[]))
UPDATE runs
SET status='cancelled', current_node=NULL, error=NULL
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'failed'
RETURNING runs.id;

-- _FREE_KEY
-- on sqlite
DELETE
FROM idempotency_keys
WHERE idempotency_keys.run_id IN (SELECT :run_id AS anon_1) AND idempotency_keys.scope = 'run'
RETURNING run_id;
WITH input_rows (run_id) AS (VALUES (?), (?))
DELETE
FROM idempotency_keys
WHERE idempotency_keys.run_id IN (SELECT input_rows.run_id
FROM input_rows) AND idempotency_keys.scope = 'run'
RETURNING run_id;
-- on postgresql
DELETE
FROM idempotency_keys
WHERE idempotency_keys.run_id IN (SELECT :run_id::VARCHAR COLLATE "C" AS anon_1)
    AND idempotency_keys.scope = 'run'
RETURNING idempotency_keys.run_id;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[]))
DELETE
FROM idempotency_keys
WHERE idempotency_keys.run_id IN (SELECT input_rows.run_id
FROM input_rows) AND idempotency_keys.scope = 'run'
RETURNING idempotency_keys.run_id;

-- _IS_MARKED
-- on sqlite
SELECT deletions.run_id
FROM deletions
WHERE deletions.run_id = :run_id;
-- on postgresql
SELECT deletions.run_id
FROM deletions
WHERE deletions.run_id = :run_id::VARCHAR COLLATE "C";

-- _TAKEN
-- on sqlite
SELECT deletions.run_id
FROM deletions
WHERE deletions.run_id = :run_id;
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT deletions.run_id
FROM deletions, input_rows
WHERE deletions.run_id = input_rows.run_id;
-- on postgresql
SELECT deletions.run_id
FROM deletions
WHERE deletions.run_id = :run_id::VARCHAR COLLATE "C" FOR UPDATE OF deletions SKIP LOCKED;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT deletions.run_id
FROM deletions, input_rows
WHERE deletions.run_id = input_rows.run_id FOR UPDATE OF deletions SKIP LOCKED;

-- _UNMARK
-- on sqlite
DELETE
FROM deletions
WHERE deletions.run_id IN (SELECT :run_id AS anon_1)
RETURNING run_id;
WITH input_rows (run_id) AS (VALUES (?), (?))
DELETE
FROM deletions
WHERE deletions.run_id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING run_id;
-- on postgresql
DELETE
FROM deletions
WHERE deletions.run_id IN (SELECT :run_id::VARCHAR COLLATE "C" AS anon_1)
RETURNING deletions.run_id;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[]))
DELETE
FROM deletions
WHERE deletions.run_id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING deletions.run_id;

-- _DELETE_RUNS
-- on sqlite
DELETE
FROM runs
WHERE runs.id IN (SELECT :run_id AS anon_1)
RETURNING id, parent_id;
WITH input_rows (run_id) AS (VALUES (?), (?))
DELETE
FROM runs
WHERE runs.id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING id, parent_id;
-- on postgresql
DELETE
FROM runs
WHERE runs.id IN (SELECT :run_id::VARCHAR COLLATE "C" AS anon_1)
RETURNING runs.id, runs.parent_id;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[]))
DELETE
FROM runs
WHERE runs.id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING runs.id, runs.parent_id;

-- _DELETE_SHARED
-- on sqlite and postgresql
DELETE
FROM shared_values
WHERE run_id = :run_id AND NOT EXISTS (SELECT 1
FROM runs
WHERE id = :run_id) AND NOT EXISTS (SELECT 1
FROM runs
WHERE parent_id = :run_id);
