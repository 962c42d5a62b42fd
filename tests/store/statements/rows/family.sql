-- NEXT_OF_FAMILY
-- on sqlite and postgresql
WITH RECURSIVE open (status) AS (VALUES ('queued'), ('running'), ('waiting'), ('paused')), family (id,
    due_at) AS ( SELECT id, due_at
FROM runs
WHERE id = :family
UNION ALL SELECT child.id, child.due_at
FROM family CROSS JOIN open CROSS JOIN runs AS child
WHERE child.parent_id = family.id AND child.status = open.status ) SELECT min(due_at)
FROM family
WHERE due_at > :now;

-- RESTING
-- on sqlite and postgresql
WITH RECURSIVE open (status) AS (VALUES ('queued'), ('running'), ('waiting'), ('paused')), family (id,
    due_at) AS ( SELECT id, due_at
FROM runs
WHERE id = :family
UNION ALL SELECT child.id, child.due_at
FROM family CROSS JOIN open CROSS JOIN runs AS child
WHERE child.parent_id = family.id AND child.status = open.status ) SELECT runs.id, runs.status, waits.kind,
    waits.name, waits.due_at, runs.missing_tool
FROM family CROSS JOIN runs LEFT JOIN waits ON waits.run_id = runs.id
WHERE runs.id = family.id AND (runs.status = 'paused' OR runs.missing_tool IS NOT NULL
    OR runs.status = 'waiting' AND waits.kind <> 'children')
ORDER BY runs.status = 'waiting' AND waits.kind <> 'signal', waits.due_at, runs.id LIMIT :count;

-- _LOCK
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = any(:run_ids)
ORDER BY runs.depth, runs.id;
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = any(:run_ids)
ORDER BY runs.depth, runs.id FOR UPDATE;
