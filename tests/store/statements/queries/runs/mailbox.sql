-- _RUN
-- on sqlite
SELECT runs.id
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- SIGNALS_OF_RUN
-- on sqlite
SELECT signals.number, signals.name, signals.accepted_at, signals.step,
    length(CAST(signals.payload AS BLOB)) AS byte_length
FROM signals
WHERE signals.run_id = :run_id
ORDER BY signals.number DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT signals.number, signals.name, signals.accepted_at, signals.step,
    octet_length(signals.payload) AS byte_length
FROM signals
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C"
ORDER BY signals.number DESC LIMIT :param_1::INTEGER;
