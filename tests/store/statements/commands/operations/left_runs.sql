-- _WAITED_FOR
-- on sqlite
SELECT :tool AS anon_1
WHERE EXISTS (SELECT runs.id
FROM runs
WHERE runs.missing_tool = :tool);
WITH input_rows (tool) AS (VALUES (?), (?)) SELECT input_rows.tool
FROM input_rows
WHERE EXISTS (SELECT runs.id
FROM runs
WHERE runs.missing_tool = input_rows.tool);
-- on postgresql
SELECT :tool::VARCHAR COLLATE "C" AS anon_1
WHERE EXISTS (SELECT runs.id
FROM runs
WHERE runs.missing_tool = :tool::VARCHAR COLLATE "C");
WITH input_rows (tool) AS (SELECT unnest(:tool::TEXT[])) SELECT input_rows.tool
FROM input_rows
WHERE EXISTS (SELECT runs.id
FROM runs
WHERE runs.missing_tool = input_rows.tool);

-- _LEFT
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node, runs.attempt, runs.crashes,
    runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token, runs.lease_owner,
    runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps, runs.parent_id, runs.depth,
    runs.due_at, runs.priority, runs.missing_tool, runs.traceparent, runs.tracestate
FROM runs
WHERE runs.missing_tool = :tool
ORDER BY runs.created_at, runs.id LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node, runs.attempt, runs.crashes,
    runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token, runs.lease_owner,
    runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps, runs.parent_id, runs.depth,
    runs.due_at, runs.priority, runs.missing_tool, runs.traceparent, runs.tracestate
FROM runs
WHERE runs.missing_tool = :tool::VARCHAR COLLATE "C"
ORDER BY runs.created_at, runs.id LIMIT :count FOR UPDATE SKIP LOCKED;

-- _LEFT_OF_FAMILY
-- on sqlite
WITH RECURSIVE open (status) AS (VALUES ('queued'), ('running'), ('waiting'), ('paused')), family (id,
    due_at) AS ( SELECT id, due_at
FROM runs
WHERE id = :family
UNION ALL SELECT child.id, child.due_at
FROM family CROSS JOIN open CROSS JOIN runs AS child
WHERE child.parent_id = family.id AND child.status = open.status ) SELECT runs.id, runs.graph_id,
    runs.status, runs.step, runs.current_node, runs.attempt, runs.crashes, runs.in_flight,
    runs.is_resume_unlogged, runs.last_seq, runs.lease_token, runs.lease_owner, runs.started_at,
    runs.moved_at, runs.failures, runs.patches, runs.max_steps, runs.parent_id, runs.depth, runs.due_at,
    runs.priority, runs.missing_tool, runs.traceparent, runs.tracestate
FROM family CROSS JOIN runs INDEXED BY sqlite_autoindex_runs_1
WHERE runs.id = family.id AND runs.missing_tool IS NOT NULL
ORDER BY runs.created_at, runs.id;
-- on postgresql
WITH RECURSIVE open (status) AS (VALUES ('queued'), ('running'), ('waiting'), ('paused')), family (id,
    due_at) AS ( SELECT id, due_at
FROM runs
WHERE id = :family
UNION ALL SELECT child.id, child.due_at
FROM family CROSS JOIN open CROSS JOIN runs AS child
WHERE child.parent_id = family.id AND child.status = open.status ) SELECT runs.id, runs.graph_id,
    runs.status, runs.step, runs.current_node, runs.attempt, runs.crashes, runs.in_flight,
    runs.is_resume_unlogged, runs.last_seq, runs.lease_token, runs.lease_owner, runs.started_at,
    runs.moved_at, runs.failures, runs.patches, runs.max_steps, runs.parent_id, runs.depth, runs.due_at,
    runs.priority, runs.missing_tool, runs.traceparent, runs.tracestate
FROM family CROSS JOIN runs
WHERE runs.id = family.id AND runs.missing_tool IS NOT NULL
ORDER BY runs.created_at, runs.id FOR UPDATE OF runs SKIP LOCKED;

-- _LEAVE
-- on sqlite
UPDATE runs
SET due_at=:never, missing_tool=:tool
WHERE runs.id = :run_id AND runs.status = 'queued'
RETURNING id;
WITH input_rows (run_id, tool, never) AS (VALUES (?, ?, ?), (?, ?, ?))
UPDATE runs
SET due_at=input_rows.never, missing_tool=input_rows.tool
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'queued'
RETURNING id;
-- on postgresql
UPDATE runs
SET due_at=:never::TIMESTAMP WITH TIME ZONE, missing_tool=:tool::VARCHAR COLLATE "C"
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND runs.status = 'queued'
RETURNING runs.id;
WITH input_rows (run_id, tool, never) AS (SELECT unnest(:run_id::TEXT[]), unnest(:tool::TEXT[]),
    unnest(:never::TIMESTAMP WITH TIME ZONE[]))
UPDATE runs
SET due_at=input_rows.never, missing_tool=input_rows.tool
FROM input_rows
WHERE runs.id = input_rows.run_id AND runs.status = 'queued'
RETURNING runs.id;
