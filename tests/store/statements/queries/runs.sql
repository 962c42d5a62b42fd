-- _RUN
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs
WHERE runs.id = :run_id;
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- _PLACE
-- on sqlite
SELECT runs.created_at, runs.id
FROM runs
WHERE runs.id = :run_id;
-- on postgresql
SELECT runs.created_at, runs.id
FROM runs
WHERE runs.id = :run_id::VARCHAR COLLATE "C";

-- newest(Filter(status=None, graph_id=None, tag=None))
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs
WHERE (runs.created_at, runs.id) < (:param_1, :param_2)
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs
WHERE (runs.created_at, runs.id) < (:param_1::VARCHAR, :param_2::VARCHAR)
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3::INTEGER;

-- newest(Filter(status='queued', graph_id='g', tag='team:a'))
-- on sqlite
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs JOIN run_tags ON run_tags.run_id = runs.id
WHERE run_tags.tag = :tag_1 AND runs.status = :status_1 AND runs.graph_id = :graph_id_1
    AND (run_tags.created_at, run_tags.run_id) < (:param_1, :param_2)
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT runs.id, runs.graph_id, runs.status, runs.current_node, runs.step, runs.error, runs.tags,
    runs.created_at, runs.started_at, runs.finished_at, runs.last_seq, runs.parent_id, runs.parent_step,
    runs.forked_from_id, runs.forked_from_step
FROM runs JOIN run_tags ON run_tags.run_id = runs.id
WHERE run_tags.tag = :tag_1::VARCHAR COLLATE "C" AND runs.status = :status_1::VARCHAR
    AND runs.graph_id = :graph_id_1::VARCHAR COLLATE "C" AND (run_tags.created_at,
    run_tags.run_id) < (:param_1::VARCHAR, :param_2::VARCHAR)
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_3::INTEGER;
