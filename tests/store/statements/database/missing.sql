-- LACKING
-- on sqlite
WITH wanted (name, field) AS (VALUES ('graphs', 'id'), ('graphs', 'name'), ('graphs', 'start_node'),
    ('graphs', 'definition'), ('graphs', 'created_at'), ('servers', 'id'), ('servers', 'address'),
    ('servers', 'started_at'), ('servers', 'seen_at'), ('servers', 'active'), ('shared_values', 'run_id'),
    ('shared_values', 'digest'), ('shared_values', 'value'), ('runs', 'id'), ('runs', 'graph_id'), ('runs',
    'status'), ('runs', 'step'), ('runs', 'current_node'), ('runs', 'attempt'), ('runs', 'crashes'), ('runs',
    'in_flight'), ('runs', 'last_seq'), ('runs', 'lease_owner'), ('runs', 'lease_token'), ('runs', 'due_at'),
    ('runs', 'error'), ('runs', 'failures'), ('runs', 'patches'), ('runs', 'max_steps'), ('runs',
    'pause_asked'), ('runs', 'is_resume_unlogged'), ('runs', 'parent_id'), ('runs', 'parent_step'), ('runs',
    'parent_attempt'), ('runs', 'child_number'), ('runs', 'depth'), ('runs', 'forked_from_id'), ('runs',
    'forked_from_step'), ('runs', 'tags'), ('runs', 'created_at'), ('runs', 'started_at'), ('runs',
    'moved_at'), ('runs', 'finished_at'), ('attempts', 'run_id'), ('attempts', 'step'), ('attempts',
    'attempt'), ('attempts', 'error'), ('attempts', 'started_at'), ('attempts', 'finished_at'), ('changes',
    'run_id'), ('changes', 'key'), ('changes', 'step'), ('changes', 'value'), ('changes', 'position'),
    ('changes', 'long_key'), ('changes', 'shared_digest'), ('idempotency_keys', 'scope'),
    ('idempotency_keys', 'key'), ('idempotency_keys', 'body_digest'), ('idempotency_keys', 'run_id'),
    ('log_lines', 'run_id'), ('log_lines', 'seq'), ('log_lines', 'ts'), ('log_lines', 'level'), ('log_lines',
    'event'), ('log_lines', 'node'), ('log_lines', 'step'), ('log_lines', 'attempt'), ('log_lines',
    'message'), ('log_lines', 'data'), ('run_tags', 'tag'), ('run_tags', 'created_at'), ('run_tags',
    'run_id'), ('signals', 'run_id'), ('signals', 'number'), ('signals', 'name'), ('signals', 'payload'),
    ('signals', 'accepted_at'), ('signals', 'step'), ('snapshots', 'run_id'), ('snapshots', 'step'),
    ('snapshots', 'node'), ('snapshots', 'attempt'), ('snapshots', 'lease_token'), ('snapshots',
    'next_node'), ('snapshots', 'reason'), ('snapshots', 'evaluated'), ('snapshots', 'is_abridged'),
    ('snapshots', 'started_at'), ('snapshots', 'finished_at'), ('snapshots', 'duration_ms'), ('visits',
    'run_id'), ('visits', 'node'), ('visits', 'count'), ('waits', 'run_id'), ('waits', 'kind'), ('waits',
    'name'), ('waits', 'since'), ('waits', 'due_at'), ('waits', 'open_max')) SELECT name,
    CASE WHEN EXISTS (SELECT 1
FROM pragma_table_info(wanted.name)) THEN field END
FROM wanted
WHERE NOT EXISTS (SELECT 1
FROM pragma_table_info(wanted.name) AS there
WHERE there.name = wanted.field)
ORDER BY 1, 2;
-- on postgresql
WITH wanted (name, field) AS (VALUES ('graphs', 'id'), ('graphs', 'name'), ('graphs', 'start_node'),
    ('graphs', 'definition'), ('graphs', 'created_at'), ('servers', 'id'), ('servers', 'address'),
    ('servers', 'started_at'), ('servers', 'seen_at'), ('servers', 'active'), ('shared_values', 'run_id'),
    ('shared_values', 'digest'), ('shared_values', 'value'), ('runs', 'id'), ('runs', 'graph_id'), ('runs',
    'status'), ('runs', 'step'), ('runs', 'current_node'), ('runs', 'attempt'), ('runs', 'crashes'), ('runs',
    'in_flight'), ('runs', 'last_seq'), ('runs', 'lease_owner'), ('runs', 'lease_token'), ('runs', 'due_at'),
    ('runs', 'error'), ('runs', 'failures'), ('runs', 'patches'), ('runs', 'max_steps'), ('runs',
    'pause_asked'), ('runs', 'is_resume_unlogged'), ('runs', 'parent_id'), ('runs', 'parent_step'), ('runs',
    'parent_attempt'), ('runs', 'child_number'), ('runs', 'depth'), ('runs', 'forked_from_id'), ('runs',
    'forked_from_step'), ('runs', 'tags'), ('runs', 'created_at'), ('runs', 'started_at'), ('runs',
    'moved_at'), ('runs', 'finished_at'), ('attempts', 'run_id'), ('attempts', 'step'), ('attempts',
    'attempt'), ('attempts', 'error'), ('attempts', 'started_at'), ('attempts', 'finished_at'), ('changes',
    'run_id'), ('changes', 'key'), ('changes', 'step'), ('changes', 'value'), ('changes', 'position'),
    ('changes', 'long_key'), ('changes', 'shared_digest'), ('idempotency_keys', 'scope'),
    ('idempotency_keys', 'key'), ('idempotency_keys', 'body_digest'), ('idempotency_keys', 'run_id'),
    ('log_lines', 'run_id'), ('log_lines', 'seq'), ('log_lines', 'ts'), ('log_lines', 'level'), ('log_lines',
    'event'), ('log_lines', 'node'), ('log_lines', 'step'), ('log_lines', 'attempt'), ('log_lines',
    'message'), ('log_lines', 'data'), ('run_tags', 'tag'), ('run_tags', 'created_at'), ('run_tags',
    'run_id'), ('signals', 'run_id'), ('signals', 'number'), ('signals', 'name'), ('signals', 'payload'),
    ('signals', 'accepted_at'), ('signals', 'step'), ('snapshots', 'run_id'), ('snapshots', 'step'),
    ('snapshots', 'node'), ('snapshots', 'attempt'), ('snapshots', 'lease_token'), ('snapshots',
    'next_node'), ('snapshots', 'reason'), ('snapshots', 'evaluated'), ('snapshots', 'is_abridged'),
    ('snapshots', 'started_at'), ('snapshots', 'finished_at'), ('snapshots', 'duration_ms'), ('visits',
    'run_id'), ('visits', 'node'), ('visits', 'count'), ('waits', 'run_id'), ('waits', 'kind'), ('waits',
    'name'), ('waits', 'since'), ('waits', 'due_at'), ('waits', 'open_max')) SELECT wanted.name,
    CASE WHEN to_regclass(wanted.name) IS NULL THEN NULL ELSE wanted.field END
FROM wanted
WHERE NOT EXISTS (SELECT 1
FROM pg_catalog.pg_attribute AS there
WHERE there.attrelid = to_regclass(wanted.name) AND there.attname = wanted.field AND NOT there.attisdropped)
ORDER BY 1, 2;

-- _STATEMENTS
-- on sqlite
WITH wanted (name, field) AS (VALUES ('graphs', 'id'), ('graphs', 'name'), ('graphs', 'start_node'),
    ('graphs', 'definition'), ('graphs', 'created_at'), ('servers', 'id'), ('servers', 'address'),
    ('servers', 'started_at'), ('servers', 'seen_at'), ('servers', 'active'), ('shared_values', 'run_id'),
    ('shared_values', 'digest'), ('shared_values', 'value'), ('runs', 'id'), ('runs', 'graph_id'), ('runs',
    'status'), ('runs', 'step'), ('runs', 'current_node'), ('runs', 'attempt'), ('runs', 'crashes'), ('runs',
    'in_flight'), ('runs', 'last_seq'), ('runs', 'lease_owner'), ('runs', 'lease_token'), ('runs', 'due_at'),
    ('runs', 'error'), ('runs', 'failures'), ('runs', 'patches'), ('runs', 'max_steps'), ('runs',
    'pause_asked'), ('runs', 'is_resume_unlogged'), ('runs', 'parent_id'), ('runs', 'parent_step'), ('runs',
    'parent_attempt'), ('runs', 'child_number'), ('runs', 'depth'), ('runs', 'forked_from_id'), ('runs',
    'forked_from_step'), ('runs', 'tags'), ('runs', 'created_at'), ('runs', 'started_at'), ('runs',
    'moved_at'), ('runs', 'finished_at'), ('attempts', 'run_id'), ('attempts', 'step'), ('attempts',
    'attempt'), ('attempts', 'error'), ('attempts', 'started_at'), ('attempts', 'finished_at'), ('changes',
    'run_id'), ('changes', 'key'), ('changes', 'step'), ('changes', 'value'), ('changes', 'position'),
    ('changes', 'long_key'), ('changes', 'shared_digest'), ('idempotency_keys', 'scope'),
    ('idempotency_keys', 'key'), ('idempotency_keys', 'body_digest'), ('idempotency_keys', 'run_id'),
    ('log_lines', 'run_id'), ('log_lines', 'seq'), ('log_lines', 'ts'), ('log_lines', 'level'), ('log_lines',
    'event'), ('log_lines', 'node'), ('log_lines', 'step'), ('log_lines', 'attempt'), ('log_lines',
    'message'), ('log_lines', 'data'), ('run_tags', 'tag'), ('run_tags', 'created_at'), ('run_tags',
    'run_id'), ('signals', 'run_id'), ('signals', 'number'), ('signals', 'name'), ('signals', 'payload'),
    ('signals', 'accepted_at'), ('signals', 'step'), ('snapshots', 'run_id'), ('snapshots', 'step'),
    ('snapshots', 'node'), ('snapshots', 'attempt'), ('snapshots', 'lease_token'), ('snapshots',
    'next_node'), ('snapshots', 'reason'), ('snapshots', 'evaluated'), ('snapshots', 'is_abridged'),
    ('snapshots', 'started_at'), ('snapshots', 'finished_at'), ('snapshots', 'duration_ms'), ('visits',
    'run_id'), ('visits', 'node'), ('visits', 'count'), ('waits', 'run_id'), ('waits', 'kind'), ('waits',
    'name'), ('waits', 'since'), ('waits', 'due_at'), ('waits', 'open_max')) SELECT name,
    CASE WHEN EXISTS (SELECT 1
FROM pragma_table_info(wanted.name)) THEN field END
FROM wanted
WHERE NOT EXISTS (SELECT 1
FROM pragma_table_info(wanted.name) AS there
WHERE there.name = wanted.field)
ORDER BY 1, 2;
-- on postgresql
WITH wanted (name, field) AS (VALUES ('graphs', 'id'), ('graphs', 'name'), ('graphs', 'start_node'),
    ('graphs', 'definition'), ('graphs', 'created_at'), ('servers', 'id'), ('servers', 'address'),
    ('servers', 'started_at'), ('servers', 'seen_at'), ('servers', 'active'), ('shared_values', 'run_id'),
    ('shared_values', 'digest'), ('shared_values', 'value'), ('runs', 'id'), ('runs', 'graph_id'), ('runs',
    'status'), ('runs', 'step'), ('runs', 'current_node'), ('runs', 'attempt'), ('runs', 'crashes'), ('runs',
    'in_flight'), ('runs', 'last_seq'), ('runs', 'lease_owner'), ('runs', 'lease_token'), ('runs', 'due_at'),
    ('runs', 'error'), ('runs', 'failures'), ('runs', 'patches'), ('runs', 'max_steps'), ('runs',
    'pause_asked'), ('runs', 'is_resume_unlogged'), ('runs', 'parent_id'), ('runs', 'parent_step'), ('runs',
    'parent_attempt'), ('runs', 'child_number'), ('runs', 'depth'), ('runs', 'forked_from_id'), ('runs',
    'forked_from_step'), ('runs', 'tags'), ('runs', 'created_at'), ('runs', 'started_at'), ('runs',
    'moved_at'), ('runs', 'finished_at'), ('attempts', 'run_id'), ('attempts', 'step'), ('attempts',
    'attempt'), ('attempts', 'error'), ('attempts', 'started_at'), ('attempts', 'finished_at'), ('changes',
    'run_id'), ('changes', 'key'), ('changes', 'step'), ('changes', 'value'), ('changes', 'position'),
    ('changes', 'long_key'), ('changes', 'shared_digest'), ('idempotency_keys', 'scope'),
    ('idempotency_keys', 'key'), ('idempotency_keys', 'body_digest'), ('idempotency_keys', 'run_id'),
    ('log_lines', 'run_id'), ('log_lines', 'seq'), ('log_lines', 'ts'), ('log_lines', 'level'), ('log_lines',
    'event'), ('log_lines', 'node'), ('log_lines', 'step'), ('log_lines', 'attempt'), ('log_lines',
    'message'), ('log_lines', 'data'), ('run_tags', 'tag'), ('run_tags', 'created_at'), ('run_tags',
    'run_id'), ('signals', 'run_id'), ('signals', 'number'), ('signals', 'name'), ('signals', 'payload'),
    ('signals', 'accepted_at'), ('signals', 'step'), ('snapshots', 'run_id'), ('snapshots', 'step'),
    ('snapshots', 'node'), ('snapshots', 'attempt'), ('snapshots', 'lease_token'), ('snapshots',
    'next_node'), ('snapshots', 'reason'), ('snapshots', 'evaluated'), ('snapshots', 'is_abridged'),
    ('snapshots', 'started_at'), ('snapshots', 'finished_at'), ('snapshots', 'duration_ms'), ('visits',
    'run_id'), ('visits', 'node'), ('visits', 'count'), ('waits', 'run_id'), ('waits', 'kind'), ('waits',
    'name'), ('waits', 'since'), ('waits', 'due_at'), ('waits', 'open_max')) SELECT wanted.name,
    CASE WHEN to_regclass(wanted.name) IS NULL THEN NULL ELSE wanted.field END
FROM wanted
WHERE NOT EXISTS (SELECT 1
FROM pg_catalog.pg_attribute AS there
WHERE there.attrelid = to_regclass(wanted.name) AND there.attname = wanted.field AND NOT there.attisdropped)
ORDER BY 1, 2;
