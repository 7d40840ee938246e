-- Whom the session $1 waits for. Those that wait for it in their turn would wait for ever.
SELECT b.pid,
       COALESCE($1::int4 = ANY (pg_catalog.pg_blocking_pids(b.pid)), false) AS waits_for_us,
       COALESCE(a.backend_type = 'autovacuum worker', false) AS autovacuum,
       CASE WHEN b.pid = 0 THEN 'a prepared transaction'
            ELSE pg_catalog.format('process %s (user %s, application %L, state %s, since %s)',
                                   b.pid, a.usename, a.application_name, a.state, a.xact_start)
       END AS who
FROM (SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids($1::int4)) AS pid) AS b
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
