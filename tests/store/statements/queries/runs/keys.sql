-- _RUN
-- on sqlite
SELECT runs.step, runs.parent_id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.step, runs.parent_id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- KEYS_WRITTEN
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key", changes.step,
    changes.position, snapshots.node, length(CAST(coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS BLOB)) AS byte_length
FROM keys JOIN changes ON changes.run_id = :run_id AND changes."key" = keys."key"
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.step = (SELECT latest.step
FROM changes AS latest
WHERE latest.run_id = :run_id AND latest."key" = keys."key"
ORDER BY latest.step DESC LIMIT 1 OFFSET :param_1) AND (changes.value IS NOT NULL
    OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(changes.long_key, changes.key) AS key, changes.step,
    changes.position, snapshots.node, octet_length(coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest))) AS byte_length
FROM keys JOIN changes ON changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.key = keys.key
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.step = (SELECT latest.step
FROM changes AS latest
WHERE latest.run_id = :run_id::VARCHAR COLLATE "C" AND latest.key = keys.key
ORDER BY latest.step DESC LIMIT 1) AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);

-- OWN_KEYS_WRITTEN
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key", changes.step,
    changes.position, snapshots.node, length(CAST(changes.value AS BLOB)) AS byte_length
FROM keys JOIN changes ON changes.run_id = :run_id AND changes."key" = keys."key"
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.step = (SELECT latest.step
FROM changes AS latest
WHERE latest.run_id = :run_id AND latest."key" = keys."key"
ORDER BY latest.step DESC LIMIT 1 OFFSET :param_1) AND (changes.value IS NOT NULL
    OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(changes.long_key, changes.key) AS key, changes.step,
    changes.position, snapshots.node, octet_length(changes.value) AS byte_length
FROM keys JOIN changes ON changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.key = keys.key
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.step = (SELECT latest.step
FROM changes AS latest
WHERE latest.run_id = :run_id::VARCHAR COLLATE "C" AND latest.key = keys.key
ORDER BY latest.step DESC LIMIT 1) AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);

-- SIZES_OF_VALUES
-- on sqlite
SELECT changes.step, coalesce(length(coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest))), :coalesce_1) AS length
FROM changes
WHERE changes.run_id = :run_id AND changes."key" = :key AND changes.step < :before_step
ORDER BY changes.step DESC LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT changes.step, coalesce(length(coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest))),
    :coalesce_1::INTEGER) AS length
FROM changes
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.key = :key::VARCHAR COLLATE "C"
    AND changes.step < :before_step::BIGINT
ORDER BY changes.step DESC LIMIT :count;

-- VALUES_OF_KEY
-- on sqlite
SELECT changes.step, snapshots.node, coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value
FROM changes
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.run_id = :run_id AND changes."key" = :key AND changes.step < :before_step
    AND changes.step >= :first_step
ORDER BY changes.step DESC;
-- on postgresql
SELECT changes.step, snapshots.node, coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value
FROM changes
LEFT OUTER JOIN snapshots ON snapshots.run_id = changes.run_id AND snapshots.step = changes.step
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.key = :key::VARCHAR COLLATE "C"
    AND changes.step < :before_step::BIGINT AND changes.step >= :first_step::BIGINT
ORDER BY changes.step DESC;

-- _IS_WRITTEN
-- on sqlite
SELECT changes.step
FROM changes
WHERE changes.run_id = :run_id AND changes."key" = :key LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT changes.step
FROM changes
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C"
    AND changes.key = :key::VARCHAR COLLATE "C" LIMIT :param_1::INTEGER;
