-- What was changed since the last verification was begun. A table that was copied again is another.
SELECT table_id, unit FROM dunlin.touched WHERE migration = $1
UNION ALL
SELECT DISTINCT c.table_id, -1
FROM dunlin.chunk AS c
JOIN dunlin.verification AS v ON v.migration = c.migration
WHERE c.migration = $1 AND (c.finished_at IS NULL OR c.finished_at > v.begun_at)
