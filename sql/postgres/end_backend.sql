-- Has a session end that is still there.
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = $1
  AND (EXTRACT(EPOCH FROM a.backend_start) * 1000000)::bigint = $2
