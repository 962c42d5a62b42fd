-- _STEP_OF_RUN
-- on sqlite
SELECT runs.step
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.step
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- SNAPSHOTS_OF_STEPS
-- on sqlite
SELECT snapshots.run_id, snapshots.step, snapshots.node, snapshots.attempt, snapshots.lease_token,
    snapshots.next_node, snapshots.reason, snapshots.evaluated, snapshots.is_abridged, snapshots.started_at,
    snapshots.finished_at, snapshots.duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step IN (__[POSTCOMPILE_steps]);
-- on postgresql
SELECT snapshots.run_id, snapshots.step, snapshots.node, snapshots.attempt, snapshots.lease_token,
    snapshots.next_node, snapshots.reason, snapshots.evaluated, snapshots.is_abridged, snapshots.started_at,
    snapshots.finished_at, snapshots.duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step IN (__[POSTCOMPILE_steps]);

-- ATTEMPTS_OF_STEPS
-- on sqlite
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id AND attempts.step IN (__[POSTCOMPILE_steps]);
-- on postgresql
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id::VARCHAR COLLATE "C" AND attempts.step IN (__[POSTCOMPILE_steps]);

-- CHANGES_OF_STEPS
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT changes.step, coalesce(changes.long_key, changes."key") AS "key",
    changes.value
FROM keys JOIN changes ON changes."key" = keys."key"
WHERE changes.run_id = :run_id AND changes.step IN (__[POSTCOMPILE_steps])
ORDER BY changes.position, "key";
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT changes.step, coalesce(changes.long_key, changes.key) AS key, changes.value
FROM keys JOIN changes ON changes.key = keys.key
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.step IN (__[POSTCOMPILE_steps])
ORDER BY changes.position, key;

-- BYTES_OF_DECISIONS
-- on sqlite
SELECT snapshots.step, length(snapshots.evaluated) AS length_1
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step IN (__[POSTCOMPILE_steps]);
-- on postgresql
SELECT snapshots.step, length(snapshots.evaluated) AS length_1
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step IN (__[POSTCOMPILE_steps]);

-- BYTES_OF_CHANGES
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT changes.step, sum(coalesce(length(changes.value), :coalesce_1)) AS sum_1
FROM keys JOIN changes ON changes."key" = keys."key"
WHERE changes.run_id = :run_id AND changes.step IN (__[POSTCOMPILE_steps]) GROUP BY changes.step;
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT changes.step, sum(coalesce(length(changes.value),
    :coalesce_1::INTEGER)) AS sum_1
FROM keys JOIN changes ON changes.key = keys.key
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C"
    AND changes.step IN (__[POSTCOMPILE_steps]) GROUP BY changes.step;

-- numbers of all
-- on sqlite
SELECT snapshots.step
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step AND snapshots.step < :before_step
ORDER BY snapshots.step DESC LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT snapshots.step
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.step < :before_step::BIGINT
ORDER BY snapshots.step DESC LIMIT :count;

-- numbers of a node
-- on sqlite
SELECT snapshots.step
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step AND snapshots.step < :before_step
    AND snapshots.node = :node
ORDER BY snapshots.step LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT snapshots.step
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.step < :before_step::BIGINT AND snapshots.node = :node::VARCHAR
ORDER BY snapshots.step LIMIT :count;
