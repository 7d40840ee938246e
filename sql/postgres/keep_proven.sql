-- Ends the verification, and keeps what it has proven of whole tables.
WITH kept AS (
    INSERT INTO dunlin.proven (migration, table_id, proof, begun_at)
    SELECT v.migration, t.id, t.proof::jsonb, v.begun_at
    FROM dunlin.verification AS v
    CROSS JOIN ROWS FROM (pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::text[]))
        AS t(id, proof)
    WHERE v.migration = $1
    ON CONFLICT (migration, table_id) DO UPDATE
    SET proof = excluded.proof, begun_at = excluded.begun_at, proven_at = excluded.proven_at
)
UPDATE dunlin.verification SET ended_at = pg_catalog.now() WHERE migration = $1
