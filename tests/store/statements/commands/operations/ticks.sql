-- _DUE
-- on sqlite
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.due_at <= :now
ORDER BY schedules.due_at, schedules.name LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.due_at <= :now::TIMESTAMP WITH TIME ZONE
ORDER BY schedules.due_at, schedules.name LIMIT :count FOR UPDATE SKIP LOCKED;

-- _NEXT
-- on sqlite
SELECT min(schedules.due_at) AS min_1
FROM schedules
WHERE schedules.due_at > :now;
-- on postgresql
SELECT min(schedules.due_at) AS min_1
FROM schedules
WHERE schedules.due_at > :now::TIMESTAMP WITH TIME ZONE;

-- _UNFINISHED
-- on sqlite
SELECT runs.schedule_name
FROM runs
WHERE runs.schedule_name = :name AND runs.status IN ('queued', 'running', 'waiting',
    'paused') GROUP BY runs.schedule_name;
WITH input_rows (name) AS (VALUES (?), (?)) SELECT runs.schedule_name
FROM runs, input_rows
WHERE runs.schedule_name = input_rows.name AND runs.status IN ('queued', 'running', 'waiting',
    'paused') GROUP BY runs.schedule_name;
-- on postgresql
SELECT runs.schedule_name
FROM runs
WHERE runs.schedule_name = :name::VARCHAR COLLATE "C" AND runs.status IN ('queued', 'running', 'waiting',
    'paused') GROUP BY runs.schedule_name;
WITH input_rows (name) AS (SELECT unnest(:name::TEXT[])) SELECT runs.schedule_name
FROM runs, input_rows
WHERE runs.schedule_name = input_rows.name AND runs.status IN ('queued', 'running', 'waiting',
    'paused') GROUP BY runs.schedule_name;

-- _MOVE
-- on sqlite
UPDATE schedules
SET next_at=:next_at, due_at=:due_at, last_at=coalesce(:last_at, schedules.last_at),
    skipped_at=coalesce(:skipped_at, schedules.skipped_at), last_run_id=coalesce(:run_id,
    schedules.last_run_id)
WHERE schedules.name = :name AND schedules.due_at IS NOT NULL
RETURNING name;
WITH input_rows (name, next_at, due_at, last_at, skipped_at, run_id) AS (VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?,
    ?, ?, ?))
UPDATE schedules
SET next_at=input_rows.next_at, due_at=input_rows.due_at, last_at=coalesce(input_rows.last_at,
    schedules.last_at), skipped_at=coalesce(input_rows.skipped_at, schedules.skipped_at),
    last_run_id=coalesce(input_rows.run_id, schedules.last_run_id)
FROM input_rows
WHERE schedules.name = input_rows.name AND schedules.due_at IS NOT NULL
RETURNING name;
-- on postgresql
UPDATE schedules
SET next_at=:next_at::TIMESTAMP WITH TIME ZONE, due_at=:due_at::TIMESTAMP WITH TIME ZONE,
    last_at=coalesce(:last_at::TIMESTAMP WITH TIME ZONE, schedules.last_at),
    skipped_at=coalesce(:skipped_at::TIMESTAMP WITH TIME ZONE, schedules.skipped_at),
    last_run_id=coalesce(:run_id::VARCHAR COLLATE "C", schedules.last_run_id)
WHERE schedules.name = :name::VARCHAR COLLATE "C" AND schedules.due_at IS NOT NULL
RETURNING schedules.name;
WITH input_rows (name, next_at, due_at, last_at, skipped_at, run_id) AS (SELECT unnest(:name::TEXT[]),
    unnest(:next_at::TIMESTAMP WITH TIME ZONE[]), unnest(:due_at::TIMESTAMP WITH TIME ZONE[]),
    unnest(:last_at::TIMESTAMP WITH TIME ZONE[]), unnest(:skipped_at::TIMESTAMP WITH TIME ZONE[]),
    unnest(:run_id::TEXT[]))
UPDATE schedules
SET next_at=input_rows.next_at, due_at=input_rows.due_at, last_at=coalesce(input_rows.last_at,
    schedules.last_at), skipped_at=coalesce(input_rows.skipped_at, schedules.skipped_at),
    last_run_id=coalesce(input_rows.run_id, schedules.last_run_id)
FROM input_rows
WHERE schedules.name = input_rows.name AND schedules.due_at IS NOT NULL
RETURNING schedules.name;
