-- _NEXT_NAME
-- on sqlite
SELECT min(waits.name) AS min_1
FROM waits
WHERE waits.kind = 'limit' AND waits.name > :after;
-- on postgresql
SELECT min(waits.name) AS min_1
FROM waits
WHERE waits.kind = 'limit' AND waits.name > :after::VARCHAR;

-- _LIMIT
-- on sqlite
SELECT limits.max, limits.per_s, limits.started
FROM limits
WHERE limits.name = :name;
-- on postgresql
SELECT limits.max, limits.per_s, limits.started
FROM limits
WHERE limits.name = :name::VARCHAR COLLATE "C";

-- _WAKE
-- on sqlite
UPDATE runs
SET due_at=:due_at
WHERE runs.id IN (SELECT found.id
FROM runs AS found
WHERE found.id = :run_id AND found.status = 'waiting' AND (found.due_at IS NULL OR found.due_at > :due_at))
RETURNING id;
WITH input_rows (run_id, due_at) AS (VALUES (?, ?), (?, ?))
UPDATE runs
SET due_at=input_rows.due_at
FROM input_rows
WHERE runs.id IN (SELECT found.id
FROM runs AS found
WHERE found.id = input_rows.run_id AND found.status = 'waiting' AND (found.due_at IS NULL
    OR found.due_at > input_rows.due_at))
RETURNING id;
-- on postgresql
UPDATE runs
SET due_at=:due_at::TIMESTAMP WITH TIME ZONE
WHERE runs.id IN (SELECT found.id
FROM runs AS found
WHERE found.id = :run_id::VARCHAR COLLATE "C" AND found.status = 'waiting' AND (found.due_at IS NULL
    OR found.due_at > :due_at::TIMESTAMP WITH TIME ZONE) FOR UPDATE SKIP LOCKED)
RETURNING runs.id;
WITH input_rows (run_id, due_at) AS (SELECT unnest(:run_id::TEXT[]),
    unnest(:due_at::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET due_at=input_rows.due_at
FROM input_rows
WHERE runs.id IN (SELECT found.id
FROM runs AS found
WHERE found.id = input_rows.run_id AND found.status = 'waiting' AND (found.due_at IS NULL
    OR found.due_at > input_rows.due_at) FOR UPDATE SKIP LOCKED)
RETURNING runs.id;

-- _HAS_QUEUE
-- on sqlite
SELECT EXISTS (SELECT *
FROM waits
WHERE waits.kind = 'limit' AND waits.name = :name) AS anon_1;
-- on postgresql
SELECT EXISTS (SELECT *
FROM waits
WHERE waits.kind = 'limit' AND waits.name = :name::VARCHAR) AS anon_1;
