-- matching all
-- on sqlite
SELECT runs.created_at, runs.id
FROM runs
WHERE (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (runs.created_at, runs.id) < (:param_1, :param_2)
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT runs.created_at, runs.id
FROM runs
WHERE (runs.id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (runs.created_at, runs.id) < (:param_1::TIMESTAMP WITH TIME ZONE,
    :param_2::VARCHAR COLLATE "C")
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3::INTEGER;

-- matching two statuses, a graph and a tag
-- on sqlite
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_1 AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1 AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id)) AND (runs.graph_id || :param_1) IN (__[POSTCOMPILE_param_2])
    AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3 OFFSET :param_4) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_2 AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1 AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id)) AND (runs.graph_id || :param_1) IN (__[POSTCOMPILE_param_2])
    AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_5 OFFSET :param_6) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_7 OFFSET :param_8;
-- on postgresql
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_1::VARCHAR AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1::VARCHAR COLLATE "C" AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id LIMIT ALL OFFSET 0))
    AND runs.graph_id IN (__[POSTCOMPILE_graph_id_1]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1::INTEGER) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_2::VARCHAR AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1::VARCHAR COLLATE "C" AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id LIMIT ALL OFFSET 0))
    AND runs.graph_id IN (__[POSTCOMPILE_graph_id_1]) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_2::INTEGER) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_3::INTEGER;

-- matching two tags
-- on sqlite
SELECT run_tags.created_at, run_tags.run_id AS id
FROM run_tags
WHERE run_tags.tag = :tag_1 AND (run_tags.run_id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (EXISTS (SELECT 1
FROM runs
WHERE runs.id = run_tags.run_id AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_2 AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id)) AND (runs.status || :param_1) IN (__[POSTCOMPILE_param_2])))
    AND (run_tags.created_at, run_tags.run_id) < (:param_3, :param_4)
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_5 OFFSET :param_6;
-- on postgresql
SELECT run_tags.created_at, run_tags.run_id AS id
FROM run_tags
WHERE run_tags.tag = :tag_1::VARCHAR COLLATE "C" AND (run_tags.run_id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (EXISTS (SELECT 1
FROM runs
WHERE runs.id = run_tags.run_id AND (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_2::VARCHAR COLLATE "C" AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id LIMIT ALL OFFSET 0))
    AND runs.status IN (__[POSTCOMPILE_status_1]) LIMIT ALL OFFSET 0)) AND (run_tags.created_at,
    run_tags.run_id) < (:param_1::TIMESTAMP WITH TIME ZONE, :param_2::VARCHAR COLLATE "C")
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_3::INTEGER;

-- matching failed runs of a rare tag
-- on sqlite
SELECT run_tags.created_at, run_tags.run_id AS id
FROM run_tags
WHERE run_tags.tag = :tag_1 AND (run_tags.run_id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (EXISTS (SELECT 1
FROM runs
WHERE runs.id = run_tags.run_id AND (runs.status || :param_1) IN (__[POSTCOMPILE_param_2])))
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT run_tags.created_at, run_tags.run_id AS id
FROM run_tags
WHERE run_tags.tag = :tag_1::VARCHAR COLLATE "C" AND (run_tags.run_id NOT IN (SELECT deletions.run_id
FROM deletions)) AND (EXISTS (SELECT 1
FROM runs
WHERE runs.id = run_tags.run_id AND runs.status IN (__[POSTCOMPILE_status_1]) LIMIT ALL OFFSET 0))
ORDER BY run_tags.created_at DESC, run_tags.run_id DESC LIMIT :param_1::INTEGER;

-- tagged_count
-- on sqlite
SELECT count(*) AS count_1
FROM (SELECT run_tags.run_id AS run_id
FROM run_tags
WHERE run_tags.tag = :tag_1 LIMIT 1000 OFFSET :param_1) AS anon_1;
-- on postgresql
SELECT count(*) AS count_1
FROM (SELECT run_tags.run_id AS run_id
FROM run_tags
WHERE run_tags.tag = :tag_1::VARCHAR COLLATE "C" LIMIT 1000) AS anon_1;

-- count_of_prefix
-- on sqlite
SELECT count(*) AS count_1
FROM (SELECT runs.id AS id
FROM runs
WHERE runs.id >= :id_1 AND runs.id < :id_2 LIMIT 1000 OFFSET :param_1) AS anon_1;
-- on postgresql
SELECT count(*) AS count_1
FROM (SELECT runs.id AS id
FROM runs
WHERE runs.id >= :id_1::VARCHAR COLLATE "C" AND runs.id < :id_2::VARCHAR COLLATE "C" LIMIT 1000) AS anon_1;

-- count_of_graphs
-- on sqlite
SELECT count(*) AS count_1
FROM (SELECT runs.id AS id
FROM runs
WHERE runs.graph_id IN (__[POSTCOMPILE_graph_id_1]) LIMIT 1000 OFFSET :param_1) AS anon_1;
-- on postgresql
SELECT count(*) AS count_1
FROM (SELECT runs.id AS id
FROM runs
WHERE runs.graph_id IN (__[POSTCOMPILE_graph_id_1]) LIMIT 1000) AS anon_1;

-- matching two versions of a graph
-- on sqlite
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.graph_id = :graph_id_1 AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1 OFFSET :param_2) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.graph_id = :graph_id_2 AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3 OFFSET :param_4) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_5 OFFSET :param_6;
-- on postgresql
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.graph_id = :graph_id_1::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1::INTEGER) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.graph_id = :graph_id_2::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_2::INTEGER) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_3::INTEGER;

-- matching the children of a run
-- on sqlite
SELECT runs.created_at, runs.id
FROM runs
WHERE runs.parent_id = :parent_id_1 AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1 OFFSET :param_2;
-- on postgresql
SELECT runs.created_at, runs.id
FROM runs
WHERE runs.parent_id = :parent_id_1::VARCHAR COLLATE "C" AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1::INTEGER;

-- matching what waits for a signal
-- on sqlite
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_1 AND NOT (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1 AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id)) AND (EXISTS (SELECT *
FROM waits
WHERE waits.run_id = runs.id AND waits.kind = :kind_1)) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1 OFFSET :param_2) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_2 AND NOT (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1 AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id)) AND (EXISTS (SELECT *
FROM waits
WHERE waits.run_id = runs.id AND waits.kind = :kind_1)) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_3 OFFSET :param_4) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_5 OFFSET :param_6;
-- on postgresql
SELECT anon_1.created_at, anon_1.id
FROM (SELECT anon_2.created_at AS created_at, anon_2.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_1::VARCHAR AND NOT (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1::VARCHAR COLLATE "C" AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id LIMIT ALL OFFSET 0)) AND (EXISTS (SELECT *
FROM waits
WHERE waits.run_id = runs.id AND waits.kind = :kind_1::VARCHAR)) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_1::INTEGER) AS anon_2
UNION ALL SELECT anon_3.created_at AS created_at, anon_3.id AS id
FROM (SELECT runs.created_at AS created_at, runs.id AS id
FROM runs
WHERE runs.status = :status_2::VARCHAR AND NOT (EXISTS (SELECT 1
FROM run_tags AS run_tags_1
WHERE run_tags_1.tag = :tag_1::VARCHAR COLLATE "C" AND run_tags_1.created_at = runs.created_at
    AND run_tags_1.run_id = runs.id LIMIT ALL OFFSET 0)) AND (EXISTS (SELECT *
FROM waits
WHERE waits.run_id = runs.id AND waits.kind = :kind_1::VARCHAR)) AND (runs.id NOT IN (SELECT deletions.run_id
FROM deletions))
ORDER BY runs.created_at DESC, runs.id DESC LIMIT :param_2::INTEGER) AS anon_3) AS anon_1
ORDER BY anon_1.created_at DESC, anon_1.id DESC LIMIT :param_3::INTEGER;

-- graphs_named
-- on sqlite
SELECT graphs.id
FROM graphs
WHERE substr(graphs.name, 1, 200) = :substr_1 AND (graphs.name || :param_1) = :param_2
ORDER BY graphs.created_at DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT graphs.id
FROM graphs
WHERE substr(graphs.name, 1, 200) = :substr_1::VARCHAR
    AND (graphs.name || :param_1::VARCHAR) = :param_2::VARCHAR
ORDER BY graphs.created_at DESC LIMIT :param_3::INTEGER;
