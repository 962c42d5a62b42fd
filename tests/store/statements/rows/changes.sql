-- _KNOWN
-- on sqlite
SELECT shared_values.run_id, shared_values.digest
FROM shared_values
WHERE shared_values.run_id = :run_id AND shared_values.digest = :digest;
WITH input_rows (run_id, digest) AS (VALUES (?, ?), (?, ?)) SELECT shared_values.run_id, shared_values.digest
FROM shared_values, input_rows
WHERE shared_values.run_id = input_rows.run_id AND shared_values.digest = input_rows.digest;
-- on postgresql
SELECT shared_values.run_id, shared_values.digest
FROM shared_values
WHERE shared_values.run_id = :run_id::VARCHAR COLLATE "C"
    AND shared_values.digest = :digest::VARCHAR COLLATE "C";
WITH input_rows (run_id, digest) AS (SELECT unnest(:run_id::TEXT[]),
    unnest(:digest::TEXT[])) SELECT shared_values.run_id, shared_values.digest
FROM shared_values, input_rows
WHERE shared_values.run_id = input_rows.run_id AND shared_values.digest = input_rows.digest;
