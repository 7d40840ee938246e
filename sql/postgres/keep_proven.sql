-- Ends the verification of this plan, and keeps what it has proven of whole tables; unless it has ended, or
-- another one was begun.
WITH ended AS (
    UPDATE dunlin.verification SET ended_at = pg_catalog.now()
    WHERE migration = $1 AND ended_at IS NULL AND (plan ->> 'id')::int8 = $4
    RETURNING migration, begun_at),
kept AS (
    INSERT INTO dunlin.proven (migration, table_id, proof, begun_at)
    SELECT e.migration, t.id, t.proof::jsonb, e.begun_at
    FROM ended AS e
    CROSS JOIN ROWS FROM (pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::text[]))
        AS t(id, proof)
    ON CONFLICT (migration, table_id) DO UPDATE
    SET proof = excluded.proof, begun_at = excluded.begun_at, proven_at = excluded.proven_at
)
SELECT EXISTS (SELECT FROM ended) AS kept
