-- _BEGIN
-- on sqlite
UPDATE runs
SET in_flight=:in_flight, moved_at=:now
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.lease_owner IS NOT NULL
RETURNING id;
-- on postgresql
UPDATE runs
SET in_flight=:in_flight::INTEGER, moved_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.lease_owner IS NOT NULL
RETURNING runs.id;

-- _RENEW_ALL
-- on sqlite and postgresql
WITH held AS MATERIALIZED (SELECT id, lease_token
FROM runs
WHERE lease_owner IS NOT NULL AND (id, lease_token) IN (SELECT value ->> 0, CAST(value ->> 1 AS bigint)
FROM json_array_elements(CAST(:leases AS json))) FOR NO KEY UPDATE SKIP LOCKED)
UPDATE runs
SET due_at = :until
FROM held
WHERE runs.id = held.id
RETURNING runs.id, runs.lease_token;

-- _STILL_HELD_OF
-- on sqlite and postgresql
SELECT id, lease_token
FROM runs
WHERE lease_owner IS NOT NULL AND (id, lease_token) IN (SELECT value ->> 0, CAST(value ->> 1 AS bigint)
FROM json_array_elements(CAST(:leases AS json)));

-- _RELEASE
-- on sqlite
UPDATE runs
SET status=:status, attempt=(runs.attempt + :interrupted), lease_owner=NULL, due_at=:due,
    is_resume_unlogged=:is_resume_unlogged, missing_tool=:tool
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.lease_owner IS NOT NULL
RETURNING step, attempt, moved_at;
-- on postgresql
UPDATE runs
SET status=:status::VARCHAR, attempt=(runs.attempt + :interrupted::BIGINT), lease_owner=NULL,
    due_at=:due::TIMESTAMP WITH TIME ZONE, is_resume_unlogged=:is_resume_unlogged::INTEGER,
    missing_tool=:tool::VARCHAR COLLATE "C"
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.lease_owner IS NOT NULL
RETURNING runs.step, runs.attempt, runs.moved_at;

-- _SEIZE
-- on sqlite
UPDATE runs
SET due_at=:now
WHERE runs.status = :status_1;
-- on postgresql
UPDATE runs
SET due_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.status = :status_1::VARCHAR;
