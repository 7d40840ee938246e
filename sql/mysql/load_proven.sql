SELECT p.proof,
       TIMESTAMPDIFF(MICROSECOND, p.proven_at, UTC_TIMESTAMP(6)) / 1e6,
       EXISTS (SELECT 1 FROM dunlin.chunk AS c
               WHERE c.migration = p.migration AND c.table_id = p.table_id
                 AND (c.finished_at IS NULL OR c.finished_at > p.begun_at))
FROM dunlin.proven AS p
WHERE p.migration =
