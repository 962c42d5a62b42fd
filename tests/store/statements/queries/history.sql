-- _STEP
-- on sqlite
SELECT runs.graph_id, runs.step, runs.priority
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.graph_id, runs.step, runs.priority
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _SNAPSHOTS_BETWEEN
-- on sqlite
SELECT snapshots.run_id, snapshots.step, snapshots.node, snapshots.attempt, snapshots.lease_token,
    snapshots.next_node, snapshots.reason, snapshots.evaluated, snapshots.is_abridged, snapshots.started_at,
    snapshots.finished_at, snapshots.duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step AND snapshots.step <= :last_step
ORDER BY snapshots.step;
-- on postgresql
SELECT snapshots.run_id, snapshots.step, snapshots.node, snapshots.attempt, snapshots.lease_token,
    snapshots.next_node, snapshots.reason, snapshots.evaluated, snapshots.is_abridged, snapshots.started_at,
    snapshots.finished_at, snapshots.duration_ms
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.step <= :last_step::BIGINT
ORDER BY snapshots.step;

-- _ATTEMPTS_BETWEEN
-- on sqlite
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id AND attempts.step > :after_step AND attempts.step <= :last_step
ORDER BY attempts.step;
-- on postgresql
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id::VARCHAR COLLATE "C" AND attempts.step > :after_step::BIGINT
    AND attempts.step <= :last_step::BIGINT
ORDER BY attempts.step;

-- _EVALUATED_BYTES
-- on sqlite
SELECT snapshots.step, length(snapshots.evaluated) AS length_1
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step > :after_step AND snapshots.step <= :last_step;
-- on postgresql
SELECT snapshots.step, length(snapshots.evaluated) AS length_1
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step > :after_step::BIGINT
    AND snapshots.step <= :last_step::BIGINT;

-- DEFINITION_OF_RUN
-- on sqlite
SELECT graphs.definition
FROM graphs JOIN runs ON runs.graph_id = graphs.id
WHERE runs.id = :run_id;
-- on postgresql
SELECT graphs.definition
FROM graphs JOIN runs ON runs.graph_id = graphs.id
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _WENT_TO
-- on sqlite
SELECT snapshots.next_node
FROM snapshots
WHERE snapshots.run_id = :run_id AND snapshots.step = :step;
-- on postgresql
SELECT snapshots.next_node
FROM snapshots
WHERE snapshots.run_id = :run_id::VARCHAR COLLATE "C" AND snapshots.step = :step::BIGINT;

-- _BEGINNING
-- on sqlite
SELECT coalesce(snapshots.node, snapshots.next_node, runs.current_node, log_lines.node) AS coalesce_1
FROM runs
LEFT OUTER JOIN snapshots ON snapshots.run_id = runs.id AND snapshots.step = :step_1
LEFT OUTER JOIN log_lines ON log_lines.run_id = runs.id AND log_lines.seq = runs.last_seq
WHERE runs.id = :run_id;
-- on postgresql
SELECT coalesce(snapshots.node, snapshots.next_node, runs.current_node, log_lines.node) AS coalesce_1
FROM runs
LEFT OUTER JOIN snapshots ON snapshots.run_id = runs.id AND snapshots.step = :step_1::BIGINT
LEFT OUTER JOIN log_lines ON log_lines.run_id = runs.id AND log_lines.seq = runs.last_seq
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _WHY
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick, runs.pause_asked,
    runs.lease_owner, runs.moved_at, runs.attempt, runs.missing_tool
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step, runs.schedule_name, runs.schedule_tick, runs.pause_asked,
    runs.lease_owner, runs.moved_at, runs.attempt, runs.missing_tool
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- _ATTEMPTS_OF_STEP
-- on sqlite
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id AND attempts.step = :step;
-- on postgresql
SELECT attempts.run_id, attempts.step, attempts.attempt, attempts.error, attempts.started_at,
    attempts.finished_at
FROM attempts
WHERE attempts.run_id = :run_id::VARCHAR COLLATE "C" AND attempts.step = :step::BIGINT;

-- _LAST_ERRORS
-- on sqlite
SELECT attempts.error
FROM attempts
WHERE attempts.run_id = :run_id AND attempts.step = :step
ORDER BY attempts.attempt DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT attempts.error
FROM attempts
WHERE attempts.run_id = :run_id::VARCHAR COLLATE "C" AND attempts.step = :step::BIGINT
ORDER BY attempts.attempt DESC LIMIT :param_1::INTEGER;

-- _WAIT
-- on sqlite
SELECT waits.run_id, waits.kind, waits.name, waits.since, waits.due_at, waits.open_max, waits.rank
FROM waits
WHERE waits.run_id = :run_id;
-- on postgresql
SELECT waits.run_id, waits.kind, waits.name, waits.since, waits.due_at, waits.open_max, waits.rank
FROM waits
WHERE waits.run_id = :run_id::VARCHAR COLLATE "C";

-- _LAST_PAUSE
-- on sqlite
SELECT log_lines.message
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq = :last_seq AND log_lines.event = :event_1;
-- on postgresql
SELECT log_lines.message
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq = :last_seq::BIGINT
    AND log_lines.event = :event_1::VARCHAR;

-- _BLOCKED_BY
-- on sqlite
SELECT log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq > :after_seq AND log_lines.step = :next_step
    AND log_lines.ts >= :since AND log_lines.data LIKE :data_1
ORDER BY log_lines.seq DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq > :after_seq::BIGINT
    AND log_lines.step = :next_step::BIGINT AND log_lines.ts >= :since::TIMESTAMP WITH TIME ZONE
    AND log_lines.data LIKE :data_1::VARCHAR
ORDER BY log_lines.seq DESC LIMIT :param_1::INTEGER;

-- _ON_CLUSTER
-- on sqlite
SELECT log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.step = :next_step AND log_lines.attempt = :next_attempt
    AND log_lines.ts >= :since AND log_lines.data LIKE :data_1
ORDER BY log_lines.seq DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.step = :next_step::BIGINT
    AND log_lines.attempt = :next_attempt::BIGINT AND log_lines.ts >= :since::TIMESTAMP WITH TIME ZONE
    AND log_lines.data LIKE :data_1::VARCHAR
ORDER BY log_lines.seq DESC LIMIT :param_1::INTEGER;

-- _COUNT_OF_OPEN
-- on sqlite
SELECT count(*) AS count_1
FROM runs
WHERE runs.parent_id = :run_id AND runs.parent_step = :next_step AND runs.parent_attempt = :next_attempt
    AND runs.status IN ('queued', 'running', 'waiting', 'paused');
-- on postgresql
SELECT count(*) AS count_1
FROM runs
WHERE runs.parent_id = :run_id::VARCHAR COLLATE "C" AND runs.parent_step = :next_step::BIGINT
    AND runs.parent_attempt = :next_attempt::BIGINT AND runs.status IN ('queued', 'running', 'waiting',
    'paused');
