-- POSITIONS
-- on sqlite
SELECT positions.graph_id, positions.current_node, count(*) AS runs
FROM (SELECT runs.graph_id AS graph_id, runs.current_node AS current_node
FROM runs
WHERE runs.status IN ('queued', 'running', 'waiting', 'paused') AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) LIMIT :param_1 OFFSET :param_2) AS positions GROUP BY positions.graph_id,
    positions.current_node
ORDER BY count(*) DESC, positions.graph_id, positions.current_node;
-- on postgresql
SELECT positions.graph_id, positions.current_node, count(*) AS runs
FROM (SELECT runs.graph_id AS graph_id, runs.current_node AS current_node
FROM runs
WHERE runs.status IN ('queued', 'running', 'waiting', 'paused') AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) LIMIT :param_1::INTEGER) AS positions GROUP BY positions.graph_id, positions.current_node
ORDER BY count(*) DESC, positions.graph_id, positions.current_node;

-- _DEFINITION
-- on sqlite
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.definition
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";
