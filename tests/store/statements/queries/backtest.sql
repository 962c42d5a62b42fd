-- _STEPS_BETWEEN
-- on sqlite
SELECT snapshots.step, snapshots.node, snapshots.next_node, snapshots.reason, snapshots.attempt
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step AND snapshots.step <= :last_step
ORDER BY snapshots.step;
-- on postgresql
SELECT snapshots.step, snapshots.node, snapshots.next_node, snapshots.reason, snapshots.attempt
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.step <= :last_step::BIGINT
ORDER BY snapshots.step;
