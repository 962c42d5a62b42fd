-- PRUNABLE
-- on sqlite
SELECT runs.id, runs.created_at, runs.status, runs.parent_id, runs.graph_id, graphs.name,
    runs.status IN ('cancelled', 'completed', 'failed') AND runs.finished_at < :ended_before
    AND NOT (EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions)))) AND NOT (EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused'))) AS is_due,
    parent.id AS kept_parent_id, parent.finished_at IS NOT NULL
    AND parent.finished_at < :ended_before AS has_old_parent
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id AND (parent.id NOT IN (SELECT deletions.run_id
FROM deletions))
WHERE runs.created_at < :ended_before AND (runs.created_at, runs.id) > (:created_at, :run_id)
    AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at, runs.id LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT runs.id, runs.created_at, runs.status, runs.parent_id, runs.graph_id, graphs.name,
    runs.status IN ('cancelled', 'completed', 'failed')
    AND runs.finished_at < :ended_before::TIMESTAMP WITH TIME ZONE AND NOT (EXISTS (SELECT *
FROM runs AS fork
WHERE fork.forked_from_id = runs.id AND (fork.id NOT IN (SELECT deletions.run_id
FROM deletions)))) AND NOT (EXISTS (SELECT *
FROM runs AS child
WHERE child.parent_id = runs.id AND child.status IN ('queued', 'running', 'waiting', 'paused'))) AS is_due,
    parent.id AS kept_parent_id, parent.finished_at IS NOT NULL
    AND parent.finished_at < :ended_before::TIMESTAMP WITH TIME ZONE AS has_old_parent
FROM runs JOIN graphs ON graphs.id = runs.graph_id
LEFT OUTER JOIN runs AS parent ON parent.id = runs.parent_id AND (parent.id NOT IN (SELECT deletions.run_id
FROM deletions))
WHERE runs.created_at < :ended_before::TIMESTAMP WITH TIME ZONE AND (runs.created_at,
    runs.id) > (:created_at, :run_id) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at, runs.id LIMIT :param_1::INTEGER;

-- MARKED
-- on sqlite
SELECT deletions.run_id
FROM deletions
ORDER BY deletions.run_id LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT deletions.run_id
FROM deletions
ORDER BY deletions.run_id LIMIT :count;
