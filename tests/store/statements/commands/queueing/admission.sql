-- _LOCKED
-- on sqlite
SELECT limits.max, limits.per_s, limits.started
FROM limits
WHERE limits.name = :name;
-- on postgresql
SELECT limits.max, limits.per_s, limits.started
FROM limits
WHERE limits.name = :name::VARCHAR COLLATE "C" FOR NO KEY UPDATE;
