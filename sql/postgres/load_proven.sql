SELECT p.proof::text AS proof,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - p.proven_at)::float8 AS seconds_ago,
       EXISTS (SELECT FROM dunlin.chunk AS c
               WHERE c.migration = p.migration AND c.table_id = p.table_id
                 AND (c.finished_at IS NULL OR c.finished_at > p.begun_at)) AS outdated
FROM dunlin.proven AS p
WHERE p.migration = $1
ORDER BY p.table_id
