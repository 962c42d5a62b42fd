-- STEPS_BY_EDGE
-- on sqlite
SELECT anon_1.node, anon_1.next_node, anon_1.reason, anon_1.asked, anon_1.error_type, count(*) AS count,
    sum(anon_1.duration_ms) AS total_ms, max(anon_1.step) AS last_step
FROM (SELECT snapshots.node AS node, snapshots.next_node AS next_node, snapshots.reason AS reason,
    json_array_length(snapshots.evaluated) AS asked,
    CASE WHEN (snapshots.reason = 'on_error') THEN (SELECT json_extract(a.error, '$.type')
FROM attempts AS a
WHERE a.run_id = snapshots.run_id AND a.step = snapshots.step
ORDER BY a.attempt DESC LIMIT 1 OFFSET :param_1) END AS error_type, snapshots.step AS step,
    snapshots.duration_ms AS duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step
    AND snapshots.node IS NOT NULL) AS anon_1 GROUP BY anon_1.node, anon_1.next_node, anon_1.reason,
    anon_1.asked, anon_1.error_type;
-- on postgresql
SELECT anon_1.node, anon_1.next_node, anon_1.reason, anon_1.asked, anon_1.error_type, count(*) AS count,
    sum(anon_1.duration_ms) AS total_ms, max(anon_1.step) AS last_step
FROM (SELECT snapshots.node AS node, snapshots.next_node AS next_node, snapshots.reason AS reason,
    json_array_length(snapshots.evaluated::json) AS asked,
    CASE WHEN (snapshots.reason = 'on_error') THEN (SELECT a.error::json ->> 'type'
FROM attempts AS a
WHERE a.run_id = snapshots.run_id AND a.step = snapshots.step
ORDER BY a.attempt DESC LIMIT 1) END AS error_type, snapshots.step AS step,
    snapshots.duration_ms AS duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.node IS NOT NULL) AS anon_1 GROUP BY anon_1.node, anon_1.next_node, anon_1.reason,
    anon_1.asked, anon_1.error_type;

-- FAILURES_BY_NODE
-- on sqlite
SELECT coalesce(snapshots.node, snapshots.next_node, runs.current_node, log_lines.node) AS node,
    count(*) AS count
FROM attempts JOIN runs ON runs.id = attempts.run_id
LEFT OUTER JOIN snapshots ON snapshots.run_id = attempts.run_id AND snapshots.step = attempts.step
LEFT OUTER JOIN log_lines ON log_lines.run_id = attempts.run_id AND log_lines.seq = runs.last_seq
WHERE attempts.run_id = :run_id AND attempts.step > :after_step GROUP BY coalesce(snapshots.node,
    snapshots.next_node, runs.current_node, log_lines.node);
-- on postgresql
SELECT coalesce(snapshots.node, snapshots.next_node, runs.current_node, log_lines.node) AS node,
    count(*) AS count
FROM attempts JOIN runs ON runs.id = attempts.run_id
LEFT OUTER JOIN snapshots ON snapshots.run_id = attempts.run_id AND snapshots.step = attempts.step
LEFT OUTER JOIN log_lines ON log_lines.run_id = attempts.run_id AND log_lines.seq = runs.last_seq
WHERE attempts.run_id = :run_id::VARCHAR COLLATE "C"
    AND attempts.step > :after_step::BIGINT GROUP BY coalesce(snapshots.node, snapshots.next_node,
    runs.current_node, log_lines.node);

-- _RUN
-- on sqlite
SELECT runs.step, graphs.definition
FROM runs JOIN graphs ON graphs.id = runs.graph_id
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.step, graphs.definition
FROM runs JOIN graphs ON graphs.id = runs.graph_id
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
