-- _LATEST_NAMED
-- on sqlite and postgresql
SELECT id, start_node
FROM graphs
WHERE substr(name, 1, 200) = :beginning AND name || '' = :name
ORDER BY coalesce(posted_again_at, created_at) DESC, id DESC LIMIT 1;

-- _MARK
-- on sqlite
UPDATE runs
SET schedule_name=:name, schedule_tick=:tick
WHERE runs.id = :run_id
RETURNING id;
WITH input_rows (run_id, name, tick) AS (VALUES (?, ?, ?), (?, ?, ?))
UPDATE runs
SET schedule_name=input_rows.name, schedule_tick=input_rows.tick
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING id;
-- on postgresql
UPDATE runs
SET schedule_name=:name::VARCHAR COLLATE "C", schedule_tick=:tick::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C"
RETURNING runs.id;
WITH input_rows (run_id, name, tick) AS (SELECT unnest(:run_id::TEXT[]), unnest(:name::TEXT[]),
    unnest(:tick::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET schedule_name=input_rows.name, schedule_tick=input_rows.tick
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING runs.id;
