-- _DUE
-- on sqlite
SELECT d.run_id, d.number, d.payload, d.host, d.attempts, d.created_at, r.notify
FROM deliveries d JOIN runs r ON r.id = d.run_id
WHERE d.due_at <= :now AND d.host NOT IN (SELECT value
FROM json_each(:busy)) AND d.run_id NOT IN (SELECT run_id
FROM deletions)
ORDER BY d.due_at LIMIT :count;
-- on postgresql
SELECT d.run_id, d.number, d.payload, d.host, d.attempts, d.created_at, r.notify
FROM deliveries d JOIN runs r ON r.id = d.run_id
WHERE d.due_at <= :now AND d.host <> ALL(CAST(:busy AS text[])) AND d.run_id NOT IN (SELECT run_id
FROM deletions)
ORDER BY d.due_at LIMIT :count FOR UPDATE OF d SKIP LOCKED;

-- _NEXT
-- on sqlite
SELECT min(deliveries.due_at) AS min_1
FROM deliveries
WHERE deliveries.due_at > :now;
-- on postgresql
SELECT min(deliveries.due_at) AS min_1
FROM deliveries
WHERE deliveries.due_at > :now::TIMESTAMP WITH TIME ZONE;

-- _CLAIM
-- on sqlite
UPDATE deliveries
SET attempts=(deliveries.attempts + 1), due_at=:until
WHERE deliveries.run_id = :run_id AND deliveries.number = :number
RETURNING run_id;
WITH input_rows (run_id, number, until) AS (VALUES (?, ?, ?), (?, ?, ?))
UPDATE deliveries
SET attempts=(deliveries.attempts + 1), due_at=input_rows.until
FROM input_rows
WHERE deliveries.run_id = input_rows.run_id AND deliveries.number = input_rows.number
RETURNING run_id;
-- on postgresql
UPDATE deliveries
SET attempts=(deliveries.attempts + 1), due_at=:until::TIMESTAMP WITH TIME ZONE
WHERE deliveries.run_id = :run_id::VARCHAR COLLATE "C" AND deliveries.number = :number::BIGINT
RETURNING deliveries.run_id;
WITH input_rows (run_id, number, until) AS (SELECT unnest(:run_id::TEXT[]), unnest(:number::BIGINT[]),
    unnest(:until::TIMESTAMP WITH TIME ZONE[]))
UPDATE deliveries
SET attempts=(deliveries.attempts + 1), due_at=input_rows.until
FROM input_rows
WHERE deliveries.run_id = input_rows.run_id AND deliveries.number = input_rows.number
RETURNING deliveries.run_id;

-- _RELEASE
-- on sqlite
UPDATE deliveries
SET due_at=:due
WHERE deliveries.run_id = :of AND deliveries.number = :which AND deliveries.attempts = :attempt
    AND deliveries.state = 'pending'
RETURNING number;
-- on postgresql
UPDATE deliveries
SET due_at=:due::TIMESTAMP WITH TIME ZONE
WHERE deliveries.run_id = :of::VARCHAR COLLATE "C" AND deliveries.number = :which::BIGINT
    AND deliveries.attempts = :attempt::BIGINT AND deliveries.state = 'pending'
RETURNING deliveries.number;

-- _NOTE
-- on sqlite
UPDATE deliveries
SET state=:now_is, due_at=:due, last_status=:status, last_error=:error, finished_at=:finished
WHERE deliveries.run_id = :of AND deliveries.number = :which AND deliveries.attempts = :attempt
    AND deliveries.state = 'pending'
RETURNING number;
-- on postgresql
UPDATE deliveries
SET state=:now_is::VARCHAR, due_at=:due::TIMESTAMP WITH TIME ZONE, last_status=:status::BIGINT,
    last_error=:error::VARCHAR, finished_at=:finished::TIMESTAMP WITH TIME ZONE
WHERE deliveries.run_id = :of::VARCHAR COLLATE "C" AND deliveries.number = :which::BIGINT
    AND deliveries.attempts = :attempt::BIGINT AND deliveries.state = 'pending'
RETURNING deliveries.number;

-- _WAKE_NEXT
-- on sqlite and postgresql
UPDATE deliveries
SET due_at = :now
WHERE run_id = :run_id AND due_at IS NULL AND number = (SELECT min(number)
FROM deliveries
WHERE run_id = :run_id AND state = 'pending');

-- _DROP_ALL
-- on sqlite
UPDATE deliveries
SET state='failed', due_at=NULL, last_error=:why, finished_at=:now
WHERE deliveries.state = 'pending';
-- on postgresql
UPDATE deliveries
SET state='failed', due_at=NULL, last_error=:why::VARCHAR, finished_at=:now::TIMESTAMP WITH TIME ZONE
WHERE deliveries.state = 'pending';
