-- SCHEDULE
-- on sqlite
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name = :name;
-- on postgresql
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name = :name::VARCHAR COLLATE "C";

-- SCHEDULES_AFTER
-- on sqlite
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name > :after
ORDER BY schedules.name LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name > :after::VARCHAR COLLATE "C"
ORDER BY schedules.name LIMIT :limit;

-- KEPT_RUNS
-- on sqlite and postgresql
SELECT runs.id
FROM runs
WHERE runs.id IN (__[POSTCOMPILE_run_ids]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- SIZES_AFTER
-- on sqlite
SELECT length(schedules.name) + coalesce(length(schedules.graph_name),
    :coalesce_1) + length(schedules.state) + length(schedules.tags) AS anon_1
FROM schedules
WHERE schedules.name > :after
ORDER BY schedules.name LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT length(schedules.name) + coalesce(length(schedules.graph_name),
    :coalesce_1::INTEGER) + length(schedules.state) + length(schedules.tags) AS anon_1
FROM schedules
WHERE schedules.name > :after::VARCHAR COLLATE "C"
ORDER BY schedules.name LIMIT :limit;
