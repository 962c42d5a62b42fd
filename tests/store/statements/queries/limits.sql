-- _ONE
-- on sqlite and postgresql
SELECT v_limits.name, v_limits.max, v_limits.per_s, v_limits.in_use, v_limits.waiting, v_limits.created_at,
    v_limits.changed_at
FROM v_limits
WHERE v_limits.name = :name;

-- _PAGE
-- on sqlite
SELECT v_limits.name, v_limits.max, v_limits.per_s, v_limits.in_use, v_limits.waiting, v_limits.created_at,
    v_limits.changed_at
FROM v_limits
WHERE v_limits.name > :after
ORDER BY v_limits.name LIMIT :count OFFSET :param_1;
-- on postgresql
SELECT v_limits.name, v_limits.max, v_limits.per_s, v_limits.in_use, v_limits.waiting, v_limits.created_at,
    v_limits.changed_at
FROM v_limits
WHERE v_limits.name > :after
ORDER BY v_limits.name LIMIT :count;
