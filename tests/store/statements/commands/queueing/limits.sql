-- _ADD
-- on sqlite
INSERT INTO limits (name, max, per_s, started, created_at, changed_at)
VALUES (:name, :max, :per_s, :started, :now, :now)
ON CONFLICT DO NOTHING
RETURNING name;
-- on postgresql
INSERT INTO limits (name, max, per_s, started, created_at, changed_at)
VALUES (:name::VARCHAR COLLATE "C", :max::BIGINT, :per_s, :started::BIGINT, :now::TIMESTAMP WITH TIME ZONE,
    :now::TIMESTAMP WITH TIME ZONE)
ON CONFLICT DO NOTHING
RETURNING limits.name;

-- _CHANGE
-- on sqlite
UPDATE limits
SET max=:new_max, per_s=:new_per_s, changed_at=CASE WHEN (limits.max IS :new_max
    AND limits.per_s IS :new_per_s) THEN limits.changed_at ELSE :now END
WHERE limits.name = :limit;
-- on postgresql
UPDATE limits
SET max=:new_max::BIGINT, per_s=:new_per_s, changed_at=CASE WHEN (limits.max IS NOT DISTINCT
FROM :new_max::BIGINT AND limits.per_s IS NOT DISTINCT
FROM :new_per_s) THEN limits.changed_at ELSE :now END
WHERE limits.name = :limit::VARCHAR COLLATE "C";

-- _LOCKED
-- on sqlite
SELECT limits.name
FROM limits
WHERE limits.name = :name;
-- on postgresql
SELECT limits.name
FROM limits
WHERE limits.name = :name::VARCHAR COLLATE "C" FOR UPDATE;

-- _DELETE_STARTS
-- on sqlite
DELETE
FROM limit_starts
WHERE limit_starts.name = :limit;
-- on postgresql
DELETE
FROM limit_starts
WHERE limit_starts.name = :limit::VARCHAR COLLATE "C";

-- _DELETE
-- on sqlite
DELETE
FROM limits
WHERE limits.name = :limit;
-- on postgresql
DELETE
FROM limits
WHERE limits.name = :limit::VARCHAR COLLATE "C";
