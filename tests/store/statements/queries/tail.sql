-- LINES_TOGETHER
-- on sqlite
SELECT asked.place, r.last_seq, r.status, l.seq, l.ts, l.level, l.event, l.node, l.step, l.attempt,
    l.message, l.data
FROM (SELECT key AS place, json_extract(value, '$[0]') AS run_id, json_extract(value, '$[1]') AS after_seq
FROM json_each(:asked)) AS asked JOIN runs r ON r.id = asked.run_id AND r.id NOT IN (SELECT run_id
FROM deletions) LEFT JOIN log_lines l ON l.run_id = asked.run_id AND l.seq > asked.after_seq
    AND l.seq <= asked.after_seq + :limit
ORDER BY asked.place, l.seq;
-- on postgresql
SELECT asked.place, r.last_seq, r.status, l.seq, l.ts, l.level, l.event, l.node, l.step, l.attempt,
    l.message, l.data
FROM (SELECT number - 1 AS place, value ->> 0 AS run_id, CAST(value ->> 1 AS bigint) AS after_seq
FROM json_array_elements(CAST(:asked AS json)) WITH ORDINALITY AS pairs(value,
    number)) AS asked JOIN runs r ON r.id = asked.run_id AND r.id NOT IN (SELECT run_id
FROM deletions) LEFT JOIN LATERAL (SELECT *
FROM log_lines
WHERE run_id = asked.run_id AND seq > asked.after_seq
ORDER BY seq LIMIT :limit) AS l ON true
ORDER BY asked.place, l.seq;
