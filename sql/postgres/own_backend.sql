-- Our own session, as it is known to others.
SELECT a.pid,
       (EXTRACT(EPOCH FROM a.backend_start) * 1000000)::bigint AS since
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = pg_catalog.pg_backend_pid()
