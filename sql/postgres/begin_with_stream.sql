-- A migration of which all tables ($4) are copied, as of position $3, and that goes on with phase $2.
WITH begun AS (
    UPDATE dunlin.migration SET phase = $2 WHERE name = $1),
placed AS (
    UPDATE dunlin.checkpoint SET position = $3::text::jsonb WHERE migration = $1)
INSERT INTO dunlin.chunk (migration, table_id, number, range, bytes, low, high, finished_at)
SELECT $1, t.id, 0, $5::text::jsonb, 0, $3::text::jsonb, $3::text::jsonb, pg_catalog.clock_timestamp()
FROM pg_catalog.unnest($4::int4[]) AS t(id)
