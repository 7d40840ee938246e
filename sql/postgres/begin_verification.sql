-- Begins a verification in place of the one before, with its proofs and marks: one statement, so that
-- none of these is ever of another plan than the one beside it.
WITH forgotten AS (DELETE FROM dunlin.proof WHERE migration = $1),
     unmarked AS (DELETE FROM dunlin.touched WHERE migration = $1)
INSERT INTO dunlin.verification (migration, plan)
VALUES ($1, $2::text::jsonb)
ON CONFLICT (migration) DO UPDATE
SET plan = excluded.plan, begun_at = excluded.begun_at, ended_at = NULL
