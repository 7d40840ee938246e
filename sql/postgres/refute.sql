-- Forgets the proofs of tables, and all that the verification which was begun last has found.
WITH gone AS (DELETE FROM dunlin.proven WHERE migration = $1 AND table_id = ANY ($2))
DELETE FROM dunlin.proof WHERE migration = $1
