-- _LAST_SEQ
-- on sqlite
SELECT runs.last_seq
FROM runs
WHERE runs.id = :run_id AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));
-- on postgresql
SELECT runs.last_seq
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions));

-- lines newest first
-- on sqlite
SELECT log_lines.run_id, log_lines.seq, log_lines.ts, log_lines.level, log_lines.event, log_lines.node,
    log_lines.step, log_lines.attempt, log_lines.message, log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id AND log_lines.seq > :seq_1 AND log_lines.seq < :seq_2
    AND log_lines.level IN (__[POSTCOMPILE_level_1]) AND log_lines.node = :node_1
    AND instr(log_lines.message, :instr_1) > :instr_2
ORDER BY log_lines.seq DESC LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT log_lines.run_id, log_lines.seq, log_lines.ts, log_lines.level, log_lines.event, log_lines.node,
    log_lines.step, log_lines.attempt, log_lines.message, log_lines.data
FROM log_lines
WHERE log_lines.run_id = :run_id::VARCHAR COLLATE "C" AND log_lines.seq > :seq_1::BIGINT
    AND log_lines.seq < :seq_2::BIGINT AND log_lines.level IN (__[POSTCOMPILE_level_1])
    AND log_lines.node = :node_1::VARCHAR AND strpos(log_lines.message,
    :strpos_1::VARCHAR) > :strpos_2::INTEGER
ORDER BY log_lines.seq DESC LIMIT :count;
