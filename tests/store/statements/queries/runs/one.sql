-- _RUN
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _MOVING
-- on sqlite
SELECT runs.id, runs.lease_owner, runs.lease_token
FROM runs
WHERE runs.id > :run_id AND runs.status IN ('queued', 'running', 'waiting')
ORDER BY runs.id LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT runs.id, runs.lease_owner, runs.lease_token
FROM runs
WHERE runs.id > :run_id::VARCHAR COLLATE "C" AND runs.status IN ('queued', 'running', 'waiting')
ORDER BY runs.id LIMIT :count;
