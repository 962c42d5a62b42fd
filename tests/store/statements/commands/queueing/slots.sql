-- _SLOTS
-- on sqlite
SELECT slots.run_id, slots.lease_token, slots.step, CASE WHEN (runs.lease_token = slots.lease_token
    AND runs.step = slots.step AND runs.lease_owner IS NOT NULL) THEN 1 ELSE 0 END AS anon_1
FROM slots JOIN runs ON runs.id = slots.run_id
WHERE slots.name = :name;
-- on postgresql
SELECT slots.run_id, slots.lease_token, slots.step, CASE WHEN (runs.lease_token = slots.lease_token
    AND runs.step = slots.step AND runs.lease_owner IS NOT NULL) THEN 1 ELSE 0 END AS anon_1
FROM slots JOIN runs ON runs.id = slots.run_id
WHERE slots.name = :name::VARCHAR COLLATE "C";

-- _DELETE
-- on sqlite
DELETE
FROM slots
WHERE slots.run_id IN (SELECT other.run_id
FROM slots AS other
WHERE other.run_id = :run_id AND other.lease_token = :lease_token AND other.step = :step)
RETURNING run_id;
WITH input_rows (run_id, lease_token, step) AS (VALUES (?, ?, ?), (?, ?, ?))
DELETE
FROM slots
WHERE slots.run_id IN (SELECT other.run_id
FROM slots AS other, input_rows
WHERE other.run_id = input_rows.run_id AND other.lease_token = input_rows.lease_token
    AND other.step = input_rows.step)
RETURNING run_id;
-- on postgresql
DELETE
FROM slots
WHERE slots.run_id IN (SELECT other.run_id
FROM slots AS other
WHERE other.run_id = :run_id::VARCHAR COLLATE "C" AND other.lease_token = :lease_token::BIGINT
    AND other.step = :step::BIGINT FOR UPDATE SKIP LOCKED)
RETURNING slots.run_id;
WITH input_rows (run_id, lease_token, step) AS (SELECT unnest(:run_id::TEXT[]),
    unnest(:lease_token::BIGINT[]), unnest(:step::BIGINT[]))
DELETE
FROM slots
WHERE slots.run_id IN (SELECT other.run_id
FROM slots AS other, input_rows
WHERE other.run_id = input_rows.run_id AND other.lease_token = input_rows.lease_token
    AND other.step = input_rows.step FOR UPDATE SKIP LOCKED)
RETURNING slots.run_id;

-- _TAKE
-- on sqlite
INSERT INTO slots (run_id, name, lease_token, step, since)
VALUES (:run_id, :name, :lease_token, :step, :since)
ON CONFLICT (run_id) DO UPDATE
SET name = :name, lease_token = :lease_token, step = :step, since = :since;
-- on postgresql
INSERT INTO slots (run_id, name, lease_token, step, since)
VALUES (:run_id::VARCHAR COLLATE "C", :name::VARCHAR COLLATE "C", :lease_token::BIGINT, :step::BIGINT,
    :since::TIMESTAMP WITH TIME ZONE)
ON CONFLICT (run_id) DO UPDATE
SET name = :name::VARCHAR COLLATE "C", lease_token = :lease_token::BIGINT, step = :step::BIGINT,
    since = :since::TIMESTAMP WITH TIME ZONE;

-- _STARTS
-- on sqlite
SELECT limit_starts.number, limit_starts.begun_at
FROM limit_starts
WHERE limit_starts.name = :name AND limit_starts.number >= :first AND limit_starts.number <= :last;
-- on postgresql
SELECT limit_starts.number, limit_starts.begun_at
FROM limit_starts
WHERE limit_starts.name = :name::VARCHAR COLLATE "C" AND limit_starts.number >= :first::BIGINT
    AND limit_starts.number <= :last::BIGINT;

-- _FORGET
-- on sqlite
DELETE
FROM limit_starts
WHERE limit_starts.name = :name AND limit_starts.number <= :last AND limit_starts.begun_at <= :until;
-- on postgresql
DELETE
FROM limit_starts
WHERE limit_starts.name = :name::VARCHAR COLLATE "C" AND limit_starts.number <= :last::BIGINT
    AND limit_starts.begun_at <= :until::TIMESTAMP WITH TIME ZONE;

-- _SINCE
-- on sqlite
SELECT slots.since
FROM slots
WHERE slots.run_id = :run_id;
-- on postgresql
SELECT slots.since
FROM slots
WHERE slots.run_id = :run_id::VARCHAR COLLATE "C";

-- _POSTPONE
-- on sqlite and postgresql
UPDATE limit_starts
SET begun_at = :begun_at
WHERE name = :name AND number = (SELECT min(number)
FROM limit_starts
WHERE name = :name AND begun_at >= :since AND begun_at <= :until)
RETURNING number;

-- _COUNT_STARTED
-- on sqlite
UPDATE limits
SET started=:last_started
WHERE limits.name = :limit;
-- on postgresql
UPDATE limits
SET started=:last_started::BIGINT
WHERE limits.name = :limit::VARCHAR COLLATE "C";

-- _HEADS
-- on sqlite
SELECT waits.run_id, waits.rank, waits.since, runs.status, runs.due_at
FROM waits JOIN runs ON runs.id = waits.run_id
WHERE waits.kind = 'limit' AND waits.name = :name AND runs.status != 'paused' AND (runs.due_at IS NULL
    OR runs.due_at > :lapsed)
ORDER BY waits.rank, waits.since, waits.run_id LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT waits.run_id, waits.rank, waits.since, runs.status, runs.due_at
FROM waits JOIN runs ON runs.id = waits.run_id
WHERE waits.kind = 'limit' AND waits.name = :name::VARCHAR AND runs.status != 'paused'
    AND (runs.due_at IS NULL OR runs.due_at > :lapsed::TIMESTAMP WITH TIME ZONE)
ORDER BY waits.rank, waits.since, waits.run_id LIMIT :count;
