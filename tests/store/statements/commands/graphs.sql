-- _ADD
-- on sqlite
INSERT INTO graphs (id, name, start_node, definition, created_at)
VALUES (:id, :name, :start_node, :definition, :created_at)
ON CONFLICT DO NOTHING
RETURNING id;
-- on postgresql
INSERT INTO graphs (id, name, start_node, definition, created_at)
VALUES (:id::VARCHAR COLLATE "C", :name::VARCHAR, :start_node::VARCHAR, :definition::VARCHAR,
    :created_at::TIMESTAMP WITH TIME ZONE)
ON CONFLICT DO NOTHING
RETURNING graphs.id;
