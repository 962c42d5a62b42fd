-- _OLDEST
-- on sqlite
SELECT signals.number, signals.payload, signals.accepted_at
FROM signals
WHERE signals.run_id = :run_id AND signals.step IS NULL AND signals.name = :name
ORDER BY signals.number LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT signals.number, signals.payload, signals.accepted_at
FROM signals
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C" AND signals.step IS NULL AND signals.name = :name::VARCHAR
ORDER BY signals.number LIMIT :param_1::INTEGER;
