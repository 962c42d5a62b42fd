-- _KEY
-- on sqlite
SELECT idempotency_keys.body_digest, idempotency_keys.run_id
FROM idempotency_keys
WHERE idempotency_keys.scope = :scope AND idempotency_keys."key" = :key;
-- on postgresql
SELECT idempotency_keys.body_digest, idempotency_keys.run_id
FROM idempotency_keys
WHERE idempotency_keys.scope = :scope::VARCHAR COLLATE "C"
    AND idempotency_keys.key = :key::VARCHAR COLLATE "C";

-- _ADD_KEY
-- on sqlite
INSERT INTO idempotency_keys (scope, "key", body_digest, run_id)
VALUES (:scope, :key, :body_digest, :run_id)
ON CONFLICT DO NOTHING
RETURNING run_id;
-- on postgresql
INSERT INTO idempotency_keys (scope, key, body_digest, run_id)
VALUES (:scope::VARCHAR COLLATE "C", :key::VARCHAR COLLATE "C", :body_digest::VARCHAR,
    :run_id::VARCHAR COLLATE "C")
ON CONFLICT DO NOTHING
RETURNING idempotency_keys.run_id;
