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
