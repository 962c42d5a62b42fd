-- _COUNT_UP
-- on sqlite
UPDATE runs
SET last_seq=(runs.last_seq + :count)
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.lease_owner IS NOT NULL
RETURNING last_seq;
-- on postgresql
UPDATE runs
SET last_seq=(runs.last_seq + :count::BIGINT)
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.lease_owner IS NOT NULL
RETURNING runs.last_seq;

-- _LAST_SEQ
-- on sqlite
SELECT runs.last_seq
FROM runs
WHERE runs.id = :run_id AND runs.lease_token = :token;
-- on postgresql
SELECT runs.last_seq
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT FOR UPDATE;
