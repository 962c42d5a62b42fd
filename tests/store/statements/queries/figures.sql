-- COUNTS
-- on sqlite
SELECT (SELECT count(*) AS count_1
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'queued' LIMIT 10000 OFFSET :param_1) AS anon_1) AS queued, (SELECT count(*) AS count_2
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'running' LIMIT 10000 OFFSET :param_2) AS anon_2) AS running, (SELECT count(*) AS count_3
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'waiting' LIMIT 10000 OFFSET :param_3) AS anon_3) AS waiting, (SELECT count(*) AS count_4
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'paused' LIMIT 10000 OFFSET :param_4) AS anon_4) AS paused, (SELECT count(*) AS count_5
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'completed' LIMIT 10000 OFFSET :param_5) AS anon_5) AS completed,
    (SELECT count(*) AS count_6
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'failed' LIMIT 10000 OFFSET :param_6) AS anon_6) AS failed, (SELECT count(*) AS count_7
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'cancelled' LIMIT 10000 OFFSET :param_7) AS anon_7) AS cancelled;
-- on postgresql
SELECT (SELECT count(*) AS count_1
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'queued' LIMIT 10000) AS anon_1) AS queued, (SELECT count(*) AS count_2
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'running' LIMIT 10000) AS anon_2) AS running, (SELECT count(*) AS count_3
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'waiting' LIMIT 10000) AS anon_3) AS waiting, (SELECT count(*) AS count_4
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'paused' LIMIT 10000) AS anon_4) AS paused, (SELECT count(*) AS count_5
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'completed' LIMIT 10000) AS anon_5) AS completed, (SELECT count(*) AS count_6
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'failed' LIMIT 10000) AS anon_6) AS failed, (SELECT count(*) AS count_7
FROM (SELECT 1 AS one
FROM runs
WHERE runs.status = 'cancelled' LIMIT 10000) AS anon_7) AS cancelled;

-- OLDEST_DUE
-- on sqlite
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT min((SELECT min(r.due_at)
FROM runs AS r
WHERE r.priority = levels.priority AND r.due_at IS NOT NULL)) AS due_at, strftime('%Y-%m-%dT%H:%M:%fZ',
    'now') AS now
FROM levels;
-- on postgresql
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT min((SELECT min(r.due_at)
FROM runs AS r
WHERE r.priority = levels.priority AND r.due_at IS NOT NULL)) AS due_at, clock_timestamp() AS now
FROM levels;

-- SIZE
-- on sqlite
SELECT page_count * page_size
FROM pragma_page_count(), pragma_page_size();
-- on postgresql
SELECT pg_catalog.pg_database_size(pg_catalog.current_database());
