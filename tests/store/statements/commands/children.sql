-- _KNOWN
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = :run_id;
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT runs.id
FROM runs, input_rows
WHERE runs.id = input_rows.run_id;
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C";
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT runs.id
FROM runs, input_rows
WHERE runs.id = input_rows.run_id;

-- _START_NODE
-- on sqlite
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";
