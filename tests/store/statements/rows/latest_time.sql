-- _LATEST[servers]
-- on sqlite and postgresql
SELECT max(servers.seen_at) AS max_1
FROM servers;

-- _LATEST[runs]
-- on sqlite and postgresql
SELECT max(runs.created_at) AS max_1
FROM runs;

-- _LATEST[waits]
-- on sqlite and postgresql
SELECT max(waits.since) AS max_1
FROM waits;
