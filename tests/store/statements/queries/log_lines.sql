-- BYTES_OF_LINES
-- on sqlite
SELECT sum(length(log_lines.message) + length(log_lines.data)) AS sum_1
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq > :after_seq AND log_lines.seq <= :last_seq;
-- on postgresql
SELECT sum(length(log_lines.message) + length(log_lines.data)) AS sum_1
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq > :after_seq::BIGINT
    AND log_lines.seq <= :last_seq::BIGINT;

-- SIZES_OF_LINES
-- on sqlite
SELECT log_lines.seq, length(log_lines.message) + length(log_lines.data) AS anon_1
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq > :after_seq AND log_lines.seq <= :last_seq;
-- on postgresql
SELECT log_lines.seq, length(log_lines.message) + length(log_lines.data) AS anon_1
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq > :after_seq::BIGINT
    AND log_lines.seq <= :last_seq::BIGINT;

-- LINES_AFTER
-- on sqlite
SELECT log_lines.run_id, log_lines.seq, log_lines.ts, log_lines.level, log_lines.event, log_lines.node,
    log_lines.step, log_lines.attempt, log_lines.message, log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq > :after_seq
ORDER BY log_lines.seq LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT log_lines.run_id, log_lines.seq, log_lines.ts, log_lines.level, log_lines.event, log_lines.node,
    log_lines.step, log_lines.attempt, log_lines.message, log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq > :after_seq::BIGINT
ORDER BY log_lines.seq LIMIT :limit;

-- _LAST_SEQ
-- on sqlite
SELECT runs.last_seq, runs.status
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.last_seq, runs.status
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
