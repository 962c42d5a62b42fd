-- _LATEST[servers]
-- on sqlite and postgresql
SELECT max(servers.seen_at) AS max_1
FROM servers;

-- _LATEST[runs]
-- on sqlite and postgresql
SELECT max(anon_1.at) AS max_1
FROM (SELECT max(runs.created_at) AS at
FROM runs
UNION ALL SELECT max(runs.moved_at) AS at
FROM runs
WHERE runs.status = 'running') AS anon_1;

-- _LATEST[waits]
-- on sqlite and postgresql
SELECT max(waits.since) AS max_1
FROM waits;
