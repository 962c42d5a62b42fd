-- _GRAPH
-- on sqlite
SELECT graphs.id, graphs.name, graphs.start_node, graphs.definition, graphs.created_at, graphs.posted_again_at
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.id, graphs.name, graphs.start_node, graphs.definition, graphs.created_at, graphs.posted_again_at
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- _KNOWN
-- on sqlite and postgresql
SELECT graphs.id
FROM graphs
WHERE graphs.id IN (__[POSTCOMPILE_graph_ids]);

-- _PLACE
-- on sqlite
SELECT graphs.created_at, graphs.id
FROM graphs
WHERE graphs.id = :graph_id;
-- on postgresql
SELECT graphs.created_at, graphs.id
FROM graphs
WHERE graphs.id = :graph_id::VARCHAR COLLATE "C";

-- NEWEST
-- on sqlite
SELECT graphs.id, graphs.name, graphs.created_at
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT graphs.id, graphs.name, graphs.created_at
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit;

-- NEWEST_BEFORE
-- on sqlite
SELECT graphs.id, graphs.name, graphs.created_at
FROM graphs
WHERE (graphs.created_at, graphs.id) < (:created_at, :graph_id)
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT graphs.id, graphs.name, graphs.created_at
FROM graphs
WHERE (graphs.created_at, graphs.id) < (:created_at, :graph_id)
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit;

-- NEWEST_NAMES
-- on sqlite
SELECT substr(graphs.name, :substr_1, :substr_2) AS name
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT substr(graphs.name, :substr_1::INTEGER, :substr_2::INTEGER) AS name
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit;

-- SIZES_OF_NEWEST
-- on sqlite
SELECT graphs.id, length(graphs.name) AS length
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT graphs.id, length(graphs.name) AS length
FROM graphs
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit;

-- SIZES_OF_NEWEST_BEFORE
-- on sqlite
SELECT graphs.id, length(graphs.name) AS length
FROM graphs
WHERE (graphs.created_at, graphs.id) < (:created_at, :graph_id)
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit OFFSET :param_1;
-- on postgresql
SELECT graphs.id, length(graphs.name) AS length
FROM graphs
WHERE (graphs.created_at, graphs.id) < (:created_at, :graph_id)
ORDER BY graphs.created_at DESC, graphs.id DESC LIMIT :limit;

-- latest_named
-- on sqlite
SELECT graphs.id
FROM graphs
WHERE substr(graphs.name, 1, 200) = :substr_1 AND (graphs.name || :param_1) = :param_2
ORDER BY coalesce(graphs.posted_again_at, graphs.created_at) DESC,
    graphs.id DESC LIMIT :param_3 OFFSET :param_4;
-- on postgresql
SELECT graphs.id
FROM graphs
WHERE substr(graphs.name, 1, 200) = :substr_1::VARCHAR
    AND (graphs.name || :param_1::VARCHAR) = :param_2::VARCHAR
ORDER BY coalesce(graphs.posted_again_at, graphs.created_at) DESC, graphs.id DESC LIMIT :param_3::INTEGER;
