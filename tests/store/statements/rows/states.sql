-- STATE_AT
-- on sqlite
WITH RECURSIVE keys(run_id, step, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, step, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, coalesce(latest.value,
    (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = keys.run_id AND shared_values.digest = latest.shared_digest)) AS value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;

-- STATES_AT
-- on sqlite
WITH RECURSIVE keys(run_id, step, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
WITH RECURSIVE input_rows (run_id, step) AS (VALUES (?, ?), (?, ?)), keys(run_id, step,
    "key") AS (SELECT CAST(input_rows.run_id AS TEXT) AS run_id, CAST(input_rows.step AS BIGINT) AS step,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(input_rows.run_id AS TEXT)) AS "key"
FROM input_rows
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, step, key) AS (SELECT CAST(:run_id::VARCHAR COLLATE "C" AS TEXT) AS run_id,
    CAST(:step::BIGINT AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id::VARCHAR COLLATE "C" AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, coalesce(latest.value,
    (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = keys.run_id AND shared_values.digest = latest.shared_digest)) AS value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;
WITH RECURSIVE input_rows (run_id, step) AS (SELECT unnest(:run_id::TEXT[]), unnest(:step::BIGINT[])),
    keys(run_id, step, key) AS (SELECT CAST(input_rows.run_id AS TEXT) AS run_id,
    CAST(input_rows.step AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(input_rows.run_id AS TEXT)) AS key
FROM input_rows
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, coalesce(latest.value,
    (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = keys.run_id AND shared_values.digest = latest.shared_digest)) AS value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;

-- OWN_STATE_AT
-- on sqlite
WITH RECURSIVE keys(run_id, step, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, step, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, latest.value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;

-- OWN_STATES_AT
-- on sqlite
WITH RECURSIVE keys(run_id, step, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    CAST(:step AS BIGINT) AS step, (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
WITH RECURSIVE input_rows (run_id, step) AS (VALUES (?, ?), (?, ?)), keys(run_id, step,
    "key") AS (SELECT CAST(input_rows.run_id AS TEXT) AS run_id, CAST(input_rows.step AS BIGINT) AS step,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(input_rows.run_id AS TEXT)) AS "key"
FROM input_rows
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT coalesce(changes.long_key, changes."key") AS "key",
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position,
    keys.run_id
FROM keys JOIN changes ON changes.run_id = keys.run_id AND changes."key" = keys."key"
WHERE changes.step = (SELECT max(latest.step) AS max_1
FROM changes AS latest
WHERE latest.run_id = keys.run_id AND latest."key" = keys."key" AND latest.step <= keys.step)
    AND (changes.value IS NOT NULL OR changes.shared_digest IS NOT NULL);
-- on postgresql
WITH RECURSIVE keys(run_id, step, key) AS (SELECT CAST(:run_id::VARCHAR COLLATE "C" AS TEXT) AS run_id,
    CAST(:step::BIGINT AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id::VARCHAR COLLATE "C" AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, latest.value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;
WITH RECURSIVE input_rows (run_id, step) AS (SELECT unnest(:run_id::TEXT[]), unnest(:step::BIGINT[])),
    keys(run_id, step, key) AS (SELECT CAST(input_rows.run_id AS TEXT) AS run_id,
    CAST(input_rows.step AS BIGINT) AS step, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(input_rows.run_id AS TEXT)) AS key
FROM input_rows
UNION ALL SELECT keys.run_id AS run_id, keys.step AS step, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT coalesce(latest.long_key, keys.key) AS key, latest.value, latest.position,
    keys.run_id
FROM keys JOIN LATERAL (SELECT changes.long_key AS long_key, changes.value AS value,
    changes.shared_digest AS shared_digest, changes.position AS position
FROM changes
WHERE changes.run_id = keys.run_id AND changes.key = keys.key AND changes.step <= keys.step
ORDER BY changes.step DESC LIMIT 1) AS latest ON true
WHERE latest.value IS NOT NULL OR latest.shared_digest IS NOT NULL;

-- CHANGES_BETWEEN
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
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value
FROM keys JOIN changes ON changes."key" = keys."key"
WHERE changes.run_id = :run_id AND changes.step > :after_step AND changes.step <= :last_step
ORDER BY changes.step, changes.position, "key";
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT changes.step, coalesce(changes.long_key, changes.key) AS key,
    coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value
FROM keys JOIN changes ON changes.key = keys.key
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.step > :after_step::BIGINT
    AND changes.step <= :last_step::BIGINT
ORDER BY changes.step, changes.position, key;

-- VALUE_AT
-- on sqlite
SELECT coalesce(changes.long_key, changes."key") AS "key", coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position
FROM changes
WHERE changes.run_id = :run_id AND changes."key" = :key AND changes.step <= :step
ORDER BY changes.step DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT coalesce(changes.long_key, changes.key) AS key, coalesce(changes.value, (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest)) AS value, changes.position
FROM changes
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.key = :key::VARCHAR COLLATE "C"
    AND changes.step <= :step::BIGINT
ORDER BY changes.step DESC LIMIT :param_1::INTEGER;

-- BYTES_BETWEEN
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT changes.step, sum(coalesce(length(coalesce(changes.value,
    (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest))), :coalesce_1)) AS length
FROM keys JOIN changes ON changes."key" = keys."key"
WHERE changes.run_id = :run_id AND changes.step > :after_step
    AND changes.step <= :last_step GROUP BY changes.step;
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT changes.step, sum(coalesce(length(coalesce(changes.value,
    (SELECT shared_values.value
FROM runs JOIN shared_values ON shared_values.run_id = runs.parent_id
WHERE runs.id = changes.run_id AND shared_values.digest = changes.shared_digest))),
    :coalesce_1::INTEGER)) AS length
FROM keys JOIN changes ON changes.key = keys.key
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.step > :after_step::BIGINT
    AND changes.step <= :last_step::BIGINT GROUP BY changes.step;

-- OWN_CHANGES_BETWEEN
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
WHERE changes.run_id = :run_id AND changes.step > :after_step AND changes.step <= :last_step
ORDER BY changes.step, changes.position, "key";
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
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.step > :after_step::BIGINT
    AND changes.step <= :last_step::BIGINT
ORDER BY changes.step, changes.position, key;

-- OWN_BYTES_BETWEEN
-- on sqlite
WITH RECURSIVE keys(run_id, "key") AS (SELECT CAST(:run_id AS TEXT) AS run_id,
    (SELECT min(changes."key") AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS "key"
UNION ALL SELECT keys.run_id AS run_id, (SELECT min("after"."key") AS min_2
FROM changes AS "after"
WHERE "after".run_id = keys.run_id AND "after"."key" > keys."key") AS anon_1
FROM keys
WHERE keys."key" IS NOT NULL) SELECT changes.step, sum(coalesce(length(changes.value), :coalesce_1)) AS length
FROM keys JOIN changes ON changes."key" = keys."key"
WHERE changes.run_id = :run_id AND changes.step > :after_step
    AND changes.step <= :last_step GROUP BY changes.step;
-- on postgresql
WITH RECURSIVE keys(run_id, key) AS (SELECT CAST(:run_id AS TEXT) AS run_id, (SELECT min(changes.key) AS min_1
FROM changes
WHERE changes.run_id = CAST(:run_id AS TEXT)) AS key
UNION ALL SELECT keys.run_id AS run_id, (SELECT min(after.key) AS min_2
FROM changes AS after
WHERE after.run_id = keys.run_id AND after.key > keys.key) AS anon_1
FROM keys
WHERE keys.key IS NOT NULL) SELECT changes.step, sum(coalesce(length(changes.value),
    :coalesce_1::INTEGER)) AS length
FROM keys JOIN changes ON changes.key = keys.key
WHERE changes.run_id = :run_id::VARCHAR COLLATE "C" AND changes.step > :after_step::BIGINT
    AND changes.step <= :last_step::BIGINT GROUP BY changes.step;
