-- insert into attempts
-- on sqlite
INSERT INTO attempts (run_id, step, attempt, error, started_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO attempts (run_id, step, attempt, error, started_at, finished_at) SELECT unnest(%s::TEXT[]),
    unnest(%s::BIGINT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into changes
-- on sqlite
INSERT INTO changes (run_id, key, step, value, position, long_key, shared_digest)
VALUES (?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO changes (run_id, key, step, value, position, long_key, shared_digest) SELECT unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]);

-- insert into deletions
-- on sqlite
INSERT INTO deletions (run_id, since)
VALUES (?, ?), (?, ?);
-- on postgresql
INSERT INTO deletions (run_id, since) SELECT unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into deliveries
-- on sqlite
INSERT INTO deliveries (run_id, number, event, payload, host, state, attempts, due_at, last_status,
    last_error, created_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO deliveries (run_id, number, event, payload, host, state, attempts, due_at, last_status,
    last_error, created_at, finished_at) SELECT unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into graphs
-- on sqlite
INSERT INTO graphs (id, name, start_node, definition, created_at, posted_again_at)
VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO graphs (id, name, start_node, definition, created_at, posted_again_at) SELECT unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into idempotency_keys
-- on sqlite
INSERT INTO idempotency_keys (scope, key, body_digest, run_id)
VALUES (?, ?, ?, ?), (?, ?, ?, ?);
-- on postgresql
INSERT INTO idempotency_keys (scope, key, body_digest, run_id) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]);

-- insert into limit_starts
-- on sqlite
INSERT INTO limit_starts (name, number, begun_at)
VALUES (?, ?, ?), (?, ?, ?);
-- on postgresql
INSERT INTO limit_starts (name, number, begun_at) SELECT unnest(%s::TEXT[]), unnest(%s::BIGINT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into limits
-- on sqlite
INSERT INTO limits (name, max, per_s, started, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO limits (name, max, per_s, started, created_at, changed_at) SELECT unnest(%s::TEXT[]),
    unnest(%s::BIGINT[]), unnest(%s::DOUBLE PRECISION[]), unnest(%s::BIGINT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into log_lines
-- on sqlite
INSERT INTO log_lines (run_id, seq, ts, level, event, node, step, attempt, message, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO log_lines (run_id, seq, ts, level, event, node, step, attempt, message,
    data) SELECT unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]);

-- insert into run_tags
-- on sqlite
INSERT INTO run_tags (tag, created_at, run_id)
VALUES (?, ?, ?), (?, ?, ?);
-- on postgresql
INSERT INTO run_tags (tag, created_at, run_id) SELECT unnest(%s::TEXT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TEXT[]);

-- insert into runs
-- on sqlite
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_owner, lease_token, due_at, error, failures, patches, max_steps, priority, pause_asked,
    is_resume_unlogged, parent_id, parent_step, parent_attempt, child_number, depth, forked_from_id,
    forked_from_step, missing_tool, traceparent, tracestate, schedule_name, schedule_tick, notify, tags,
    created_at, started_at, moved_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,
    lease_owner, lease_token, due_at, error, failures, patches, max_steps, priority, pause_asked,
    is_resume_unlogged, parent_id, parent_step, parent_attempt, child_number, depth, forked_from_id,
    forked_from_step, missing_tool, traceparent, tracestate, schedule_name, schedule_tick, notify, tags,
    created_at, started_at, moved_at, finished_at) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]),
    unnest(%s::INTEGER[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]),
    unnest(%s::BIGINT[]), unnest(%s::INTEGER[]), unnest(%s::INTEGER[]), unnest(%s::INTEGER[]),
    unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]),
    unnest(%s::INTEGER[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into schedules
-- on sqlite
INSERT INTO schedules (name, graph_id, graph_name, cron, every_s, timezone, state, tags, overlap, catch_up,
    is_paused, next_at, due_at, last_at, skipped_at, last_run_id, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?);
-- on postgresql
INSERT INTO schedules (name, graph_id, graph_name, cron, every_s, timezone, state, tags, overlap, catch_up,
    is_paused, next_at, due_at, last_at, skipped_at, last_run_id, created_at,
    updated_at) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::DOUBLE PRECISION[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::INTEGER[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into servers
-- on sqlite
INSERT INTO servers (id, address, started_at, seen_at, active)
VALUES (?, ?, ?, ?, ?), (?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO servers (id, address, started_at, seen_at, active) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::INTEGER[]);

-- insert into shared_values
-- on sqlite
INSERT INTO shared_values (run_id, digest, value)
VALUES (?, ?, ?), (?, ?, ?);
-- on postgresql
INSERT INTO shared_values (run_id, digest, value) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]);

-- insert into signals
-- on sqlite
INSERT INTO signals (run_id, number, name, payload, accepted_at, step)
VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO signals (run_id, number, name, payload, accepted_at, step) SELECT unnest(%s::TEXT[]),
    unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::BIGINT[]);

-- insert into slots
-- on sqlite
INSERT INTO slots (run_id, name, lease_token, step, since)
VALUES (?, ?, ?, ?, ?), (?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO slots (run_id, name, lease_token, step, since) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::BIGINT[]), unnest(%s::BIGINT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]);

-- insert into snapshots
-- on sqlite
INSERT INTO snapshots (run_id, step, node, attempt, lease_token, next_node, reason, evaluated, is_abridged,
    started_at, finished_at, duration_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO snapshots (run_id, step, node, attempt, lease_token, next_node, reason, evaluated, is_abridged,
    started_at, finished_at, duration_ms) SELECT unnest(%s::TEXT[]), unnest(%s::BIGINT[]),
    unnest(%s::TEXT[]), unnest(%s::BIGINT[]), unnest(%s::BIGINT[]), unnest(%s::TEXT[]), unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::INTEGER[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::DOUBLE PRECISION[]);

-- insert into visits
-- on sqlite
INSERT INTO visits (run_id, node, count)
VALUES (?, ?, ?), (?, ?, ?);
-- on postgresql
INSERT INTO visits (run_id, node, count) SELECT unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::BIGINT[]);

-- insert into waits
-- on sqlite
INSERT INTO waits (run_id, kind, name, since, due_at, open_max, rank)
VALUES (?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?);
-- on postgresql
INSERT INTO waits (run_id, kind, name, since, due_at, open_max, rank) SELECT unnest(%s::TEXT[]),
    unnest(%s::TEXT[]), unnest(%s::TEXT[]), unnest(%s::TIMESTAMP WITH TIME ZONE[]),
    unnest(%s::TIMESTAMP WITH TIME ZONE[]), unnest(%s::BIGINT[]), unnest(%s::INTEGER[]);
