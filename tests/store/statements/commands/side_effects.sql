-- _CONSUME
-- on sqlite
UPDATE signals
SET step=:by_step
WHERE signals.run_id = :run_id AND signals.number = :number;
-- on postgresql
UPDATE signals
SET step=:by_step::BIGINT
WHERE signals.run_id = :run_id::VARCHAR COLLATE "C" AND signals.number = :number::BIGINT;
