-- _DELETE
-- on sqlite
DELETE
FROM waits
WHERE waits.run_id IN (SELECT :run_id AS anon_1)
RETURNING run_id;
WITH input_rows (run_id) AS (VALUES (?), (?))
DELETE
FROM waits
WHERE waits.run_id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING run_id;
-- on postgresql
DELETE
FROM waits
WHERE waits.run_id IN (SELECT :run_id::VARCHAR COLLATE "C" AS anon_1)
RETURNING waits.run_id;
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[]))
DELETE
FROM waits
WHERE waits.run_id IN (SELECT input_rows.run_id
FROM input_rows)
RETURNING waits.run_id;

-- _WAITS_OF
-- on sqlite
SELECT waits.run_id, waits.kind, waits.since, waits.due_at
FROM waits
WHERE waits.run_id = :run_id;
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT waits.run_id, waits.kind, waits.since, waits.due_at
FROM waits, input_rows
WHERE waits.run_id = input_rows.run_id;
-- on postgresql
SELECT waits.run_id, waits.kind, waits.since, waits.due_at
FROM waits
WHERE waits.run_id = :run_id::VARCHAR COLLATE "C";
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT waits.run_id, waits.kind, waits.since,
    waits.due_at
FROM waits, input_rows
WHERE waits.run_id = input_rows.run_id;

-- _WAKE
-- on sqlite
UPDATE runs
SET due_at=:now
WHERE runs.id = :run_id AND runs.status = 'waiting' AND (runs.due_at IS NULL OR runs.due_at > :now)
    AND (EXISTS (SELECT waits.run_id
FROM waits
WHERE waits.run_id = runs.id AND (waits.kind = 'signal' AND (EXISTS (SELECT signals.number
FROM signals
WHERE signals.run_id = runs.id AND signals.step IS NULL AND signals.name = waits.name))
    OR waits.kind = 'children' AND ((EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('failed', 'cancelled')))
    OR waits.open_max = 0 AND NOT (EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))) OR waits.open_max > 0 AND waits.open_max >= (SELECT count(*) AS count_1
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))))))
RETURNING id;
WITH input_rows (run_id, now) AS (VALUES (?, ?), (?, ?))
UPDATE runs
SET due_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'waiting' AND (runs.due_at IS NULL
    OR runs.due_at > input_rows.now) AND (EXISTS (SELECT waits.run_id
FROM waits
WHERE waits.run_id = runs.id AND (waits.kind = 'signal' AND (EXISTS (SELECT signals.number
FROM signals
WHERE signals.run_id = runs.id AND signals.step IS NULL AND signals.name = waits.name))
    OR waits.kind = 'children' AND ((EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('failed', 'cancelled')))
    OR waits.open_max = 0 AND NOT (EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))) OR waits.open_max > 0 AND waits.open_max >= (SELECT count(*) AS count_1
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))))))
RETURNING id;
-- on postgresql
UPDATE runs
SET due_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.status = 'waiting' AND (runs.due_at IS NULL
    OR runs.due_at > :now::TIMESTAMP WITH TIME ZONE) AND (EXISTS (SELECT waits.run_id
FROM waits
WHERE waits.run_id = runs.id AND (waits.kind = 'signal' AND (EXISTS (SELECT signals.number
FROM signals
WHERE signals.run_id = runs.id AND signals.step IS NULL AND signals.name = waits.name))
    OR waits.kind = 'children' AND ((EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('failed', 'cancelled')))
    OR waits.open_max = 0 AND NOT (EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))) OR waits.open_max > 0 AND waits.open_max >= (SELECT count(*) AS count_1
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))))))
RETURNING runs.id;
WITH input_rows (run_id, now) AS (SELECT unnest(:run_id::TEXT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET due_at=input_rows.now
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'waiting' AND (runs.due_at IS NULL
    OR runs.due_at > input_rows.now) AND (EXISTS (SELECT waits.run_id
FROM waits
WHERE waits.run_id = runs.id AND (waits.kind = 'signal' AND (EXISTS (SELECT signals.number
FROM signals
WHERE signals.run_id = runs.id AND signals.step IS NULL AND signals.name = waits.name))
    OR waits.kind = 'children' AND ((EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('failed', 'cancelled')))
    OR waits.open_max = 0 AND NOT (EXISTS (SELECT child.id
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))) OR waits.open_max > 0 AND waits.open_max >= (SELECT count(*) AS count_1
FROM runs AS child
WHERE child.parent_id = runs.id AND child.parent_step = runs.step + 1
    AND child.parent_attempt = runs.attempt AND child.status IN ('queued', 'running', 'waiting',
    'paused'))))))
RETURNING runs.id;
