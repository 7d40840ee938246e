-- Forgets the proofs of tables, and all that the verification which was begun last has found.
WITH gone AS (DELETE FROM dunlin.proven WHERE migration = $1 AND table_id = ANY ($2)),
     forgotten AS (DELETE FROM dunlin.proof WHERE migration = $1)
UPDATE dunlin.verification
SET ended_at = COALESCE(ended_at, pg_catalog.now())
WHERE migration = $1
