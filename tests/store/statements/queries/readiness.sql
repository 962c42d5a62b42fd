-- _FIRST_ROW[graphs]
-- on sqlite
SELECT graphs.id
FROM graphs LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT graphs.id
FROM graphs LIMIT :param_1::INTEGER;

-- _FIRST_ROW[runs]
-- on sqlite
SELECT runs.id
FROM runs LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT runs.id
FROM runs LIMIT :param_1::INTEGER;

-- _FIRST_ROW[changes]
-- on sqlite
SELECT changes.run_id, changes."key", changes.step
FROM changes LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT changes.run_id, changes.key, changes.step
FROM changes LIMIT :param_1::INTEGER;

-- _FIRST_ROW[snapshots]
-- on sqlite
SELECT snapshots.run_id, snapshots.step
FROM snapshots LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT snapshots.run_id, snapshots.step
FROM snapshots LIMIT :param_1::INTEGER;

-- _FIRST_ROW[log_lines]
-- on sqlite
SELECT log_lines.run_id, log_lines.seq
FROM log_lines LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT log_lines.run_id, log_lines.seq
FROM log_lines LIMIT :param_1::INTEGER;
