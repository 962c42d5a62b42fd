-- _COUNTED
-- on sqlite
SELECT counts.started, counts.open, failed.child_number, failed.status, failed.error, failed.id
FROM (SELECT (SELECT coalesce(max(last.anon_1) + 1, 0) AS coalesce_1
FROM (SELECT (SELECT max(runs.child_number) AS max_1
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'queued') AS anon_1
UNION ALL SELECT (SELECT max(runs.child_number) AS max_2
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'running') AS anon_2
UNION ALL SELECT (SELECT max(runs.child_number) AS max_3
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'waiting') AS anon_3
UNION ALL SELECT (SELECT max(runs.child_number) AS max_4
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'paused') AS anon_4
UNION ALL SELECT (SELECT max(runs.child_number) AS max_5
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'completed') AS anon_5
UNION ALL SELECT (SELECT max(runs.child_number) AS max_6
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'failed') AS anon_6
UNION ALL SELECT (SELECT max(runs.child_number) AS max_7
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'cancelled') AS anon_7) AS last) AS started,
    (SELECT count(*) AS count_1
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status IN ('queued', 'running', 'waiting',
    'paused')) AS open) AS counts
LEFT OUTER JOIN (SELECT runs.child_number AS child_number, runs.status AS status, runs.error AS error,
    runs.id AS id
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status IN ('failed', 'cancelled')
ORDER BY runs.child_number LIMIT :param_1 OFFSET :param_2) AS failed ON 1 = 1;
-- on postgresql
SELECT counts.started, counts.open, failed.child_number, failed.status, failed.error, failed.id
FROM (SELECT (SELECT coalesce(max(last.anon_1) + 1, 0) AS coalesce_1
FROM (SELECT (SELECT max(runs.child_number) AS max_1
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'queued') AS anon_1
UNION ALL SELECT (SELECT max(runs.child_number) AS max_2
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'running') AS anon_2
UNION ALL SELECT (SELECT max(runs.child_number) AS max_3
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'waiting') AS anon_3
UNION ALL SELECT (SELECT max(runs.child_number) AS max_4
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'paused') AS anon_4
UNION ALL SELECT (SELECT max(runs.child_number) AS max_5
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'completed') AS anon_5
UNION ALL SELECT (SELECT max(runs.child_number) AS max_6
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'failed') AS anon_6
UNION ALL SELECT (SELECT max(runs.child_number) AS max_7
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT
    AND runs.status = 'cancelled') AS anon_7) AS last) AS started, (SELECT count(*) AS count_1
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status IN ('queued', 'running', 'waiting',
    'paused')) AS open) AS counts
LEFT OUTER JOIN (SELECT runs.child_number AS child_number, runs.status AS status, runs.error AS error,
    runs.id AS id
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status IN ('failed', 'cancelled')
ORDER BY runs.child_number LIMIT :param_1::INTEGER) AS failed ON true;

-- _COMPLETED
-- on sqlite
SELECT runs.id, runs.step
FROM runs
WHERE runs.parent_id = :parent_id AND runs.parent_step = :parent_step
    AND runs.parent_attempt = :parent_attempt AND runs.status = 'completed'
    AND runs.child_number >= :first AND runs.child_number < :end
ORDER BY runs.child_number;
-- on postgresql
SELECT runs.id, runs.step
FROM runs
WHERE runs.parent_id = :parent_id::VARCHAR COLLATE "C" AND runs.parent_step = :parent_step::BIGINT
    AND runs.parent_attempt = :parent_attempt::BIGINT AND runs.status = 'completed'
    AND runs.child_number >= :first::BIGINT AND runs.child_number < :end::BIGINT
ORDER BY runs.child_number;
