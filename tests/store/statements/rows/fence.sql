-- RENEW
-- on sqlite
UPDATE runs
SET due_at=:until
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.lease_owner IS NOT NULL
RETURNING id;
-- on postgresql
UPDATE runs
SET due_at=:until::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.lease_owner IS NOT NULL
RETURNING runs.id;
