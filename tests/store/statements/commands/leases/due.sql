-- _NEXT
-- on sqlite and postgresql
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT min((SELECT min(r.due_at)
FROM runs AS r
WHERE r.priority = levels.priority AND r.due_at > :now AND r.due_at <= :soon))
FROM levels;

-- _PUT_OFF
-- on sqlite
UPDATE runs
SET due_at=:until
WHERE runs.id = :run_id;
-- on postgresql
UPDATE runs
SET due_at=:until::TIMESTAMP WITH TIME ZONE
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _DUE
-- on sqlite
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node,
    runs.attempt, runs.crashes, runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token,
    runs.lease_owner, runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps,
    runs.parent_id, runs.depth, runs.due_at, runs.priority, runs.missing_tool, runs.traceparent,
    runs.tracestate
FROM (SELECT priority
FROM levels LIMIT 202) AS levels CROSS JOIN runs INDEXED BY runs_due
WHERE runs.priority = levels.priority AND runs.due_at <= :now LIMIT :count;
-- on postgresql
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT due.*
FROM levels CROSS JOIN LATERAL (SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node,
    runs.attempt, runs.crashes, runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token,
    runs.lease_owner, runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps,
    runs.parent_id, runs.depth, runs.due_at, runs.priority, runs.missing_tool, runs.traceparent,
    runs.tracestate
FROM runs
WHERE runs.priority = levels.priority AND runs.due_at <= :now
ORDER BY runs.due_at, runs.id LIMIT :count FOR UPDATE SKIP LOCKED) AS due LIMIT :count;

-- _DUE_PATIENTLY
-- on sqlite
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node,
    runs.attempt, runs.crashes, runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token,
    runs.lease_owner, runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps,
    runs.parent_id, runs.depth, runs.due_at, runs.priority, runs.missing_tool, runs.traceparent,
    runs.tracestate
FROM (SELECT priority
FROM levels LIMIT 202) AS levels CROSS JOIN runs INDEXED BY runs_due
WHERE runs.priority = levels.priority AND runs.due_at <= :now AND (runs.lease_owner IS NULL
    OR runs.due_at <= :lapsed) LIMIT :count;
-- on postgresql
WITH RECURSIVE levels (priority) AS ( SELECT max(priority)
FROM runs
WHERE due_at IS NOT NULL
UNION ALL SELECT (SELECT max(r.priority)
FROM runs AS r
WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
FROM levels
WHERE levels.priority IS NOT NULL ) SELECT due.*
FROM levels CROSS JOIN LATERAL (SELECT runs.id, runs.graph_id, runs.status, runs.step, runs.current_node,
    runs.attempt, runs.crashes, runs.in_flight, runs.is_resume_unlogged, runs.last_seq, runs.lease_token,
    runs.lease_owner, runs.started_at, runs.moved_at, runs.failures, runs.patches, runs.max_steps,
    runs.parent_id, runs.depth, runs.due_at, runs.priority, runs.missing_tool, runs.traceparent,
    runs.tracestate
FROM runs
WHERE runs.priority = levels.priority AND runs.due_at <= :now AND (runs.lease_owner IS NULL
    OR runs.due_at <= :lapsed)
ORDER BY runs.due_at, runs.id LIMIT :count FOR UPDATE SKIP LOCKED) AS due LIMIT :count;

-- _DUE_OF_FAMILY
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
WHERE family.due_at <= :now AND runs.id = family.id
ORDER BY runs.priority DESC, family.due_at, family.id LIMIT :count;
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
WHERE family.due_at <= :now AND runs.id = family.id AND runs.due_at <= :now
ORDER BY runs.priority DESC, family.due_at, family.id LIMIT :count FOR UPDATE OF runs SKIP LOCKED;

-- _DUE_OF_FAMILY_PATIENTLY
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
WHERE family.due_at <= :now AND runs.id = family.id AND (runs.lease_owner IS NULL OR runs.due_at <= :lapsed)
ORDER BY runs.priority DESC, family.due_at, family.id LIMIT :count;
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
WHERE family.due_at <= :now AND runs.id = family.id AND runs.due_at <= :now AND (runs.lease_owner IS NULL
    OR runs.due_at <= :lapsed)
ORDER BY runs.priority DESC, family.due_at, family.id LIMIT :count FOR UPDATE OF runs SKIP LOCKED;
