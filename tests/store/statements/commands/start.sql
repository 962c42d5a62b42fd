-- _ORIGIN
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) FOR KEY SHARE;
