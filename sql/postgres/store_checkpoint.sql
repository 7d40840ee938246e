UPDATE dunlin.checkpoint
SET position = $3::text::jsonb,
    committed_at = CASE WHEN $4::int8 IS NULL THEN committed_at
                   ELSE timestamptz 'epoch' + $4::int8 * interval '1 microsecond' END,
    applied_at = pg_catalog.clock_timestamp(),
    transactions = transactions + $5::int8,
    changes = changes + $6::int8
WHERE migration = $1 AND epoch = $2
RETURNING generation
