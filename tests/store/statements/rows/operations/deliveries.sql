-- _TELLING
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node, runs.error, runs.last_seq,
    runs.notify, (SELECT coalesce(max(deliveries.number), 0) AS coalesce_1
FROM deliveries
WHERE deliveries.run_id = runs.id) AS anon_1, EXISTS (SELECT deliveries.number
FROM deliveries
WHERE deliveries.run_id = runs.id AND deliveries.state = 'pending') AS anon_2
FROM runs
WHERE runs.id = :run_id;
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT runs.id, runs.graph_id, runs.status, runs.step,
    runs.current_node, runs.error, runs.last_seq, runs.notify, (SELECT coalesce(max(deliveries.number),
    0) AS coalesce_1
FROM deliveries
WHERE deliveries.run_id = runs.id) AS anon_1, EXISTS (SELECT deliveries.number
FROM deliveries
WHERE deliveries.run_id = runs.id AND deliveries.state = 'pending') AS anon_2
FROM runs, input_rows
WHERE runs.id = input_rows.run_id;
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node, runs.error, runs.last_seq,
    runs.notify, (SELECT coalesce(max(deliveries.number), 0) AS coalesce_1
FROM deliveries
WHERE deliveries.run_id = runs.id) AS anon_1, EXISTS (SELECT deliveries.number
FROM deliveries
WHERE deliveries.run_id = runs.id AND deliveries.state = 'pending') AS anon_2
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C";
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT runs.id, runs.graph_id, runs.status,
    runs.step, runs.current_node, runs.error, runs.last_seq, runs.notify,
    (SELECT coalesce(max(deliveries.number), 0) AS coalesce_1
FROM deliveries
WHERE deliveries.run_id = runs.id) AS anon_1, EXISTS (SELECT deliveries.number
FROM deliveries
WHERE deliveries.run_id = runs.id AND deliveries.state = 'pending') AS anon_2
FROM runs, input_rows
WHERE runs.id = input_rows.run_id;

-- _NOTIFY
-- on sqlite
UPDATE runs
SET notify=:notify
WHERE runs.id = :run_id
RETURNING id;
WITH input_rows (run_id, notify) AS (VALUES (?, ?), (?, ?))
UPDATE runs
SET notify=input_rows.notify
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING id;
-- on postgresql
UPDATE runs
SET notify=:notify::VARCHAR
WHERE runs.id = :run_id::VARCHAR COLLATE "C"
RETURNING runs.id;
WITH input_rows (run_id, notify) AS (SELECT unnest(:run_id::TEXT[]), unnest(:notify::TEXT[]))
UPDATE runs
SET notify=input_rows.notify
FROM input_rows
WHERE runs.id = input_rows.run_id
RETURNING runs.id;
