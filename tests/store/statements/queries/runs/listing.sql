-- SIZES_OF_LISTED
-- on sqlite
SELECT runs.id, 0 + coalesce(length(runs.tags), :coalesce_1) + coalesce(length(runs.error),
    :coalesce_2) + coalesce(length(runs.current_node), :coalesce_3) + coalesce(length(graphs.name),
    :coalesce_4) + coalesce(length(waits.name), :coalesce_5) AS length
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN waits ON waits.run_id = runs.id AND runs.status IN ('waiting', 'paused')
WHERE runs.id IN (__[POSTCOMPILE_run_ids]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id, 0 + coalesce(length(runs.tags), :coalesce_1::INTEGER) + coalesce(length(runs.error),
    :coalesce_2::INTEGER) + coalesce(length(runs.current_node),
    :coalesce_3::INTEGER) + coalesce(length(graphs.name),
    :coalesce_4::INTEGER) + coalesce(length(waits.name), :coalesce_5::INTEGER) AS length
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN waits ON waits.run_id = runs.id AND runs.status IN ('waiting', 'paused')
WHERE runs.id IN (__[POSTCOMPILE_run_ids]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- LISTED
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick, runs.priority,
    graphs.name AS graph_name, waits.kind AS wait_kind, waits.name AS wait_name, waits.due_at AS wait_due_at,
    (SELECT count(*) AS count_1
FROM (SELECT 1 AS one
FROM runs AS child
WHERE child.parent_id = runs.id LIMIT 1000 OFFSET :param_1) AS counted) AS children,
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS now
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN waits ON waits.run_id = runs.id AND runs.status IN ('waiting', 'paused')
WHERE runs.id IN (__[POSTCOMPILE_run_ids]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick, runs.priority,
    graphs.name AS graph_name, waits.kind AS wait_kind, waits.name AS wait_name, waits.due_at AS wait_due_at,
    (SELECT count(*) AS count_1
FROM (SELECT 1 AS one
FROM runs AS child
WHERE child.parent_id = runs.id LIMIT 1000) AS counted) AS children, clock_timestamp() AS now
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN waits ON waits.run_id = runs.id AND runs.status IN ('waiting', 'paused')
WHERE runs.id IN (__[POSTCOMPILE_run_ids]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _NAMED
-- on sqlite
SELECT graphs.id
FROM graphs
WHERE graphs.id = :graph_id AND graphs.name = :name;
-- on postgresql
SELECT graphs.id
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C" AND graphs.name = :name::VARCHAR;
