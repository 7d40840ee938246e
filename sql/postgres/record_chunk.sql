WITH fence AS (
    SELECT 1 FROM dunlin.checkpoint WHERE migration = $1 AND epoch = $2 FOR SHARE
)
UPDATE dunlin.chunk
SET low = $5::text::jsonb, high = $6::text::jsonb, rows = $7::int8,
    finished_at = pg_catalog.clock_timestamp()
FROM fence
WHERE migration = $1 AND table_id = $3::int4 AND number = $4::int4 AND low IS NULL
