-- _EXISTS
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- DELIVERIES_AFTER
-- on sqlite
SELECT deliveries.number, deliveries.event, deliveries.state, deliveries.attempts, deliveries.due_at,
    deliveries.last_status, deliveries.last_error, deliveries.created_at, deliveries.finished_at
FROM deliveries
WHERE deliveries.run_id = :run_id AND deliveries.number > :after
ORDER BY deliveries.number LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT deliveries.number, deliveries.event, deliveries.state, deliveries.attempts, deliveries.due_at,
    deliveries.last_status, deliveries.last_error, deliveries.created_at, deliveries.finished_at
FROM deliveries
WHERE deliveries.run_id = :run_id::VARCHAR COLLATE "C" AND deliveries.number > :after::BIGINT
ORDER BY deliveries.number LIMIT :limit;
