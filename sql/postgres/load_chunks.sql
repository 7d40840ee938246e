SELECT table_id, number, range::text AS range, bytes, low::text AS low, high::text AS high, rows
FROM dunlin.chunk
WHERE migration = $1
ORDER BY table_id, number
