-- _START_NODE
-- on sqlite
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- _START
-- on sqlite
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_token, due_at, forked_from_id, forked_from_step, tags, created_at,
    moved_at) SELECT :run_id AS anon_1, :graph_id AS anon_2, 'queued', 0, :node AS anon_3, 1, 0, 0, 0, 0,
    :now AS anon_4, :forked_from_id AS anon_5, :forked_from_step AS anon_6, :tags AS anon_7, :now AS anon__1,
    :now AS anon__2
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING id;
WITH input_rows (run_id, graph_id, node, forked_from_id, forked_from_step, tags, now) AS (VALUES (?, ?, ?, ?,
    ?, ?, ?), (?, ?, ?, ?, ?, ?, ?))
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_token, due_at, forked_from_id, forked_from_step, tags, created_at,
    moved_at) SELECT input_rows.run_id, input_rows.graph_id, 'queued', 0, input_rows.node, 1, 0, 0, 0, 0,
    input_rows.now, input_rows.forked_from_id, input_rows.forked_from_step, input_rows.tags,
    input_rows.now AS now__1, input_rows.now AS now__2
FROM input_rows
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING id;
-- on postgresql
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_token, due_at, forked_from_id, forked_from_step, tags, created_at,
    moved_at) SELECT :run_id::VARCHAR COLLATE "C" AS anon_1, :graph_id::VARCHAR COLLATE "C" AS anon_2,
    'queued', 0, :node::VARCHAR AS anon_3, 1, 0, 0, 0, 0, :now::TIMESTAMP WITH TIME ZONE AS anon_4,
    :forked_from_id::VARCHAR COLLATE "C" AS anon_5, :forked_from_step::BIGINT AS anon_6,
    :tags::VARCHAR AS anon_7, :now::TIMESTAMP WITH TIME ZONE AS anon__1,
    :now::TIMESTAMP WITH TIME ZONE AS anon__2
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING runs.id;
WITH input_rows (run_id, graph_id, node, forked_from_id, forked_from_step, tags,
    now) AS (SELECT unnest(:run_id::TEXT[]), unnest(:graph_id::TEXT[]), unnest(:node::TEXT[]),
    unnest(:forked_from_id::TEXT[]), unnest(:forked_from_step::BIGINT[]), unnest(:tags::TEXT[]),
    unnest(:now::TIMESTAMP WITH TIME ZONE[]))
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_token, due_at, forked_from_id, forked_from_step, tags, created_at,
    moved_at) SELECT input_rows.run_id, input_rows.graph_id, 'queued', 0, input_rows.node, 1, 0, 0, 0, 0,
    input_rows.now, input_rows.forked_from_id, input_rows.forked_from_step, input_rows.tags,
    input_rows.now AS now__1, input_rows.now AS now__2
FROM input_rows
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING runs.id;
