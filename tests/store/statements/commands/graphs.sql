-- _ADD
-- on sqlite
INSERT INTO graphs (id, name, start_node, definition, created_at, posted_again_at)
VALUES (:id, :name, :start_node, :definition, :created_at, :posted_again_at)
ON CONFLICT DO NOTHING
RETURNING id;
-- on postgresql
INSERT INTO graphs (id, name, start_node, definition, created_at, posted_again_at)
VALUES (:id::VARCHAR COLLATE "C", :name::VARCHAR, :start_node::VARCHAR, :definition::VARCHAR,
    :created_at::TIMESTAMP WITH TIME ZONE, :posted_again_at::TIMESTAMP WITH TIME ZONE)
ON CONFLICT DO NOTHING
RETURNING graphs.id;

-- _ADD_AGAIN
-- on sqlite and postgresql
UPDATE graphs
SET posted_again_at = :now
WHERE id = :id AND id <> (SELECT id
FROM graphs
WHERE substr(name, 1, 200) = :beginning AND name || '' = :name
ORDER BY coalesce(posted_again_at, created_at) DESC, id DESC LIMIT 1)
RETURNING id;
