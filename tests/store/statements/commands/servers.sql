-- _SEEN
-- on sqlite
INSERT INTO servers (id, address, started_at, seen_at, active)
VALUES (:id, :address, :started_at, :seen_at, :active)
ON CONFLICT (id) DO UPDATE
SET seen_at = :seen_at, active = :active;
-- on postgresql
INSERT INTO servers (id, address, started_at, seen_at, active)
VALUES (:id::VARCHAR COLLATE "C", :address::VARCHAR, :started_at::TIMESTAMP WITH TIME ZONE,
    :seen_at::TIMESTAMP WITH TIME ZONE, :active::INTEGER)
ON CONFLICT (id) DO UPDATE
SET seen_at = :seen_at::TIMESTAMP WITH TIME ZONE, active = :active::INTEGER;

-- _OTHERS
-- on sqlite
SELECT min(servers.active) AS min_1, max(servers.seen_at) AS max_1
FROM servers
WHERE servers.id != :id AND servers.seen_at > :since;
-- on postgresql
SELECT min(servers.active) AS min_1, max(servers.seen_at) AS max_1
FROM servers
WHERE servers.id != :id::VARCHAR COLLATE "C" AND servers.seen_at > :since::TIMESTAMP WITH TIME ZONE;

-- _ALIVE
-- on sqlite
SELECT servers.id
FROM servers
WHERE servers.id = :id AND servers.seen_at > :since;
WITH input_rows (id, since) AS (VALUES (?, ?), (?, ?)) SELECT servers.id
FROM servers, input_rows
WHERE servers.id = input_rows.id AND servers.seen_at > input_rows.since;
-- on postgresql
SELECT servers.id
FROM servers
WHERE servers.id = :id::VARCHAR COLLATE "C" AND servers.seen_at > :since::TIMESTAMP WITH TIME ZONE;
WITH input_rows (id, since) AS (SELECT unnest(:id::TEXT[]),
    unnest(:since::TIMESTAMP WITH TIME ZONE[])) SELECT servers.id
FROM servers, input_rows
WHERE servers.id = input_rows.id AND servers.seen_at > input_rows.since;

-- _LEAVE
-- on sqlite
DELETE
FROM servers
WHERE servers.id = :id;
-- on postgresql
DELETE
FROM servers
WHERE servers.id = :id::VARCHAR COLLATE "C";

-- _FORGET
-- on sqlite
DELETE
FROM servers
WHERE servers.id IN (SELECT servers.id
FROM servers
WHERE servers.seen_at < :since);
-- on postgresql
DELETE
FROM servers
WHERE servers.id IN (SELECT servers.id
FROM servers
WHERE servers.seen_at < :since::TIMESTAMP WITH TIME ZONE FOR UPDATE SKIP LOCKED);

-- _QUEUED_AHEAD
-- on sqlite
UPDATE runs
SET due_at=:now
WHERE runs.due_at > :now AND runs.due_at < '9999-12-31T00:00:00.000Z' AND runs.status = :status_1;
-- on postgresql
UPDATE runs
SET due_at=:now::TIMESTAMP WITH TIME ZONE
WHERE runs.due_at > :now::TIMESTAMP WITH TIME ZONE AND runs.due_at < '9999-12-31T00:00:00.000Z'
    AND runs.status = :status_1::VARCHAR;

-- _LOCK_AS_STEPS
-- on sqlite and postgresql
LOCK TABLE runs, changes, snapshots, log_lines IN ROW EXCLUSIVE MODE NOWAIT;
