-- _STATUS
-- on sqlite
SELECT runs.status, runs.graph_id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.status, runs.graph_id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) FOR UPDATE;

-- _DEFINITION
-- on sqlite
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- _WAITING
-- on sqlite
SELECT count(*) AS count_1
FROM signals
WHERE signals.run_id = :run_id AND signals.step IS NULL;
-- on postgresql
SELECT count(*) AS count_1
FROM signals
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C" AND signals.step IS NULL;

-- _LAST_NUMBER
-- on sqlite
SELECT coalesce(max(signals.number), :coalesce_2) AS coalesce_1
FROM signals
WHERE signals.run_id = :run_id;
-- on postgresql
SELECT coalesce(max(signals.number), :coalesce_2::INTEGER) AS coalesce_1
FROM signals
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C";

-- _GET
-- on sqlite
SELECT signals.name, signals.payload, signals.accepted_at
FROM signals
WHERE signals.run_id = :run_id AND signals.number = :number;
-- on postgresql
SELECT signals.name, signals.payload, signals.accepted_at
FROM signals
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C" AND signals.number = :number::BIGINT;
