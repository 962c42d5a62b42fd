-- _LOCKED
-- on sqlite
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name = :name;
-- on postgresql
SELECT schedules.name, schedules.graph_id, schedules.graph_name, schedules.cron, schedules.every_s,
    schedules.timezone, schedules.state, schedules.tags, schedules.overlap, schedules.catch_up,
    schedules.is_paused, schedules.next_at, schedules.due_at, schedules.last_at, schedules.skipped_at,
    schedules.last_run_id, schedules.created_at, schedules.updated_at
FROM schedules
WHERE schedules.name = :name::VARCHAR COLLATE "C" FOR UPDATE;

-- _ADD
-- on sqlite
INSERT INTO schedules (name, graph_id, graph_name, cron, every_s, timezone, state, tags, overlap, catch_up,
    is_paused, next_at, due_at, last_at, skipped_at, last_run_id, created_at, updated_at)
VALUES (:name, :graph_id, :graph_name, :cron, :every_s, :timezone, :state, :tags, :overlap, :catch_up,
    :is_paused, :next_at, :due_at, :last_at, :skipped_at, :last_run_id, :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING name;
-- on postgresql
INSERT INTO schedules (name, graph_id, graph_name, cron, every_s, timezone, state, tags, overlap, catch_up,
    is_paused, next_at, due_at, last_at, skipped_at, last_run_id, created_at, updated_at)
VALUES (:name::VARCHAR COLLATE "C", :graph_id::VARCHAR COLLATE "C", :graph_name::VARCHAR, :cron::VARCHAR,
    :every_s, :timezone::VARCHAR, :state::VARCHAR, :tags::VARCHAR, :overlap::VARCHAR, :catch_up::VARCHAR,
    :is_paused::INTEGER, :next_at::TIMESTAMP WITH TIME ZONE, :due_at::TIMESTAMP WITH TIME ZONE,
    :last_at::TIMESTAMP WITH TIME ZONE, :skipped_at::TIMESTAMP WITH TIME ZONE,
    :last_run_id::VARCHAR COLLATE "C", :created_at::TIMESTAMP WITH TIME ZONE,
    :updated_at::TIMESTAMP WITH TIME ZONE)
ON CONFLICT DO NOTHING
RETURNING schedules.name;

-- _REPLACE
-- on sqlite
UPDATE schedules
SET graph_id=:graph_id, graph_name=:graph_name, cron=:cron, every_s=:every_s, timezone=:timezone,
    state=:state, tags=:tags, overlap=:overlap, catch_up=:catch_up, next_at=:next_at, due_at=:due_at,
    updated_at=:updated_at
WHERE schedules.name = :of;
-- on postgresql
UPDATE schedules
SET graph_id=:graph_id::VARCHAR COLLATE "C", graph_name=:graph_name::VARCHAR, cron=:cron::VARCHAR,
    every_s=:every_s, timezone=:timezone::VARCHAR, state=:state::VARCHAR, tags=:tags::VARCHAR,
    overlap=:overlap::VARCHAR, catch_up=:catch_up::VARCHAR, next_at=:next_at::TIMESTAMP WITH TIME ZONE,
    due_at=:due_at::TIMESTAMP WITH TIME ZONE, updated_at=:updated_at::TIMESTAMP WITH TIME ZONE
WHERE schedules.name = :of::VARCHAR COLLATE "C";

-- _PAUSE
-- on sqlite
UPDATE schedules
SET is_paused=1, due_at=NULL, updated_at=:now
WHERE schedules.name = :of;
-- on postgresql
UPDATE schedules
SET is_paused=1, due_at=NULL, updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE schedules.name = :of::VARCHAR COLLATE "C";

-- _PAUSE_ALL
-- on sqlite
UPDATE schedules
SET is_paused=1, due_at=NULL, updated_at=:now
WHERE schedules.is_paused = 0
RETURNING name;
-- on postgresql
UPDATE schedules
SET is_paused=1, due_at=NULL, updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE schedules.is_paused = 0
RETURNING schedules.name;

-- _RESUME
-- on sqlite
UPDATE schedules
SET is_paused=0, next_at=:next, due_at=:due, updated_at=:now
WHERE schedules.name = :of;
-- on postgresql
UPDATE schedules
SET is_paused=0, next_at=:next::TIMESTAMP WITH TIME ZONE, due_at=:due::TIMESTAMP WITH TIME ZONE,
    updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE schedules.name = :of::VARCHAR COLLATE "C";

-- _STARTED
-- on sqlite
UPDATE schedules
SET last_run_id=:run_id
WHERE schedules.name = :of;
-- on postgresql
UPDATE schedules
SET last_run_id=:run_id::VARCHAR COLLATE "C"
WHERE schedules.name = :of::VARCHAR COLLATE "C";

-- _DELETE
-- on sqlite
DELETE
FROM schedules
WHERE schedules.name = :name
RETURNING name;
-- on postgresql
DELETE
FROM schedules
WHERE schedules.name = :name::VARCHAR COLLATE "C"
RETURNING schedules.name;
