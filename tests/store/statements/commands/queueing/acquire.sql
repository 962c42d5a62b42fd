-- _HELD
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = :run_id AND runs.lease_token = :token AND runs.step = :step AND runs.lease_owner IS NOT NULL;
WITH input_rows (run_id, token, step) AS (VALUES (?, ?, ?), (?, ?, ?)) SELECT runs.id
FROM runs, input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token AND runs.step = input_rows.step
    AND runs.lease_owner IS NOT NULL;
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.lease_token = :token::BIGINT
    AND runs.step = :step::BIGINT AND runs.lease_owner IS NOT NULL;
WITH input_rows (run_id, token, step) AS (SELECT unnest(:run_id::TEXT[]), unnest(:token::BIGINT[]),
    unnest(:step::BIGINT[])) SELECT runs.id
FROM runs, input_rows
WHERE runs.id = input_rows.run_id AND runs.lease_token = input_rows.token AND runs.step = input_rows.step
    AND runs.lease_owner IS NOT NULL;
