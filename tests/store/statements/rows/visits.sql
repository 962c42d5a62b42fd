-- _COUNT
-- on sqlite
INSERT INTO visits (run_id, node, count)
VALUES (:run_id, :node, :count)
ON CONFLICT (run_id, node) DO UPDATE
SET count = :count;
-- on postgresql
INSERT INTO visits (run_id, node, count)
VALUES (:run_id::VARCHAR COLLATE "C", :node::VARCHAR, :count::BIGINT)
ON CONFLICT (run_id, node) DO UPDATE
SET count = :count::BIGINT;

-- _COUNTED
-- on sqlite
SELECT visits.run_id, visits.node, visits.count
FROM visits
WHERE visits.run_id = :run_id;
WITH input_rows (run_id) AS (VALUES (?), (?)) SELECT visits.run_id, visits.node, visits.count
FROM visits, input_rows
WHERE visits.run_id = input_rows.run_id;
-- on postgresql
SELECT visits.run_id, visits.node, visits.count
FROM visits
WHERE visits.run_id = :run_id::VARCHAR COLLATE "C";
WITH input_rows (run_id) AS (SELECT unnest(:run_id::TEXT[])) SELECT visits.run_id, visits.node, visits.count
FROM visits, input_rows
WHERE visits.run_id = input_rows.run_id;

-- _COUNTED_AT
-- on sqlite
SELECT visits.count, graphs.definition
FROM visits JOIN runs ON runs.id = visits.run_id JOIN graphs ON graphs.id = runs.graph_id
WHERE visits.run_id = :run_id AND visits.node = :visited;
-- on postgresql
SELECT visits.count, graphs.definition
FROM visits JOIN runs ON runs.id = visits.run_id JOIN graphs ON graphs.id = runs.graph_id
WHERE visits.run_id = :run_id::VARCHAR COLLATE "C" AND visits.node = :visited::VARCHAR;

-- _DELETE
-- on sqlite
DELETE
FROM visits
WHERE visits.run_id = :run_id AND visits.node = :visited;
-- on postgresql
DELETE
FROM visits
WHERE visits.run_id = :run_id::VARCHAR COLLATE "C" AND visits.node = :visited::VARCHAR;
