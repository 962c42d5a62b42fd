-- _START_NODE
-- on sqlite
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.start_node
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- _INSERT
-- on sqlite
INSERT INTO runs (id, graph_id, current_node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate, created_at, status, attempt,
    due_at, moved_at, step, crashes, in_flight, is_resume_unlogged, last_seq,
    lease_token) SELECT :run_id AS anon_1, :graph_id AS anon_2, :node AS anon_3, :tags AS anon_4,
    :forked_from_id AS anon_5, :forked_from_step AS anon_6, :parent_id AS anon_7, :parent_step AS anon_8,
    :parent_attempt AS anon_9, :child_number AS anon_10, :depth AS anon_11, :priority AS anon_12,
    :traceparent AS anon_13, :tracestate AS anon_14, :now AS anon_15, 'queued', 1, :now AS anon__1,
    :now AS anon__2, 0, 0, 0, 0, 0, 0
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING id;
WITH input_rows (run_id, graph_id, node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate, now) AS (VALUES (?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO runs (id, graph_id, current_node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate, created_at, status, attempt,
    due_at, moved_at, step, crashes, in_flight, is_resume_unlogged, last_seq,
    lease_token) SELECT input_rows.run_id, input_rows.graph_id, input_rows.node, input_rows.tags,
    input_rows.forked_from_id, input_rows.forked_from_step, input_rows.parent_id, input_rows.parent_step,
    input_rows.parent_attempt, input_rows.child_number, input_rows.depth, input_rows.priority,
    input_rows.traceparent, input_rows.tracestate, input_rows.now, 'queued', 1, input_rows.now AS now__1,
    input_rows.now AS now__2, 0, 0, 0, 0, 0, 0
FROM input_rows
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING id;
-- on postgresql
INSERT INTO runs (id, graph_id, current_node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate, created_at, status, attempt,
    due_at, moved_at, step, crashes, in_flight, is_resume_unlogged, last_seq,
    lease_token) SELECT :run_id::VARCHAR COLLATE "C" AS anon_1, :graph_id::VARCHAR COLLATE "C" AS anon_2,
    :node::VARCHAR AS anon_3, :tags::VARCHAR AS anon_4, :forked_from_id::VARCHAR COLLATE "C" AS anon_5,
    :forked_from_step::BIGINT AS anon_6, :parent_id::VARCHAR COLLATE "C" AS anon_7,
    :parent_step::BIGINT AS anon_8, :parent_attempt::BIGINT AS anon_9, :child_number::BIGINT AS anon_10,
    :depth::INTEGER AS anon_11, :priority::INTEGER AS anon_12, :traceparent::VARCHAR AS anon_13,
    :tracestate::VARCHAR AS anon_14, :now::TIMESTAMP WITH TIME ZONE AS anon_15, 'queued', 1,
    :now::TIMESTAMP WITH TIME ZONE AS anon__1, :now::TIMESTAMP WITH TIME ZONE AS anon__2, 0, 0, 0, 0, 0, 0
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING runs.id;
WITH input_rows (run_id, graph_id, node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate,
    now) AS (SELECT unnest(:run_id::TEXT[]), unnest(:graph_id::TEXT[]), unnest(:node::TEXT[]),
    unnest(:tags::TEXT[]), unnest(:forked_from_id::TEXT[]), unnest(:forked_from_step::BIGINT[]),
    unnest(:parent_id::TEXT[]), unnest(:parent_step::BIGINT[]), unnest(:parent_attempt::BIGINT[]),
    unnest(:child_number::BIGINT[]), unnest(:depth::INTEGER[]), unnest(:priority::INTEGER[]),
    unnest(:traceparent::TEXT[]), unnest(:tracestate::TEXT[]), unnest(:now::TIMESTAMP WITH TIME ZONE[]))
INSERT INTO runs (id, graph_id, current_node, tags, forked_from_id, forked_from_step, parent_id, parent_step,
    parent_attempt, child_number, depth, priority, traceparent, tracestate, created_at, status, attempt,
    due_at, moved_at, step, crashes, in_flight, is_resume_unlogged, last_seq,
    lease_token) SELECT input_rows.run_id, input_rows.graph_id, input_rows.node, input_rows.tags,
    input_rows.forked_from_id, input_rows.forked_from_step, input_rows.parent_id, input_rows.parent_step,
    input_rows.parent_attempt, input_rows.child_number, input_rows.depth, input_rows.priority,
    input_rows.traceparent, input_rows.tracestate, input_rows.now, 'queued', 1, input_rows.now AS now__1,
    input_rows.now AS now__2, 0, 0, 0, 0, 0, 0
FROM input_rows
WHERE 1 = 1
ON CONFLICT DO NOTHING
RETURNING runs.id;
