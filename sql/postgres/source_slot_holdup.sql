-- The oldest transaction that has written, running or prepared: a new slot waits for its end.
SELECT h.holdup FROM (
    SELECT pg_catalog.format(
               'process %s (user %s, application %L, state %s) has kept a transaction open since %s',
               a.pid, a.usename, a.application_name, a.state, a.xact_start) AS holdup,
           a.xact_start AS since
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
    UNION ALL
    SELECT pg_catalog.format('the prepared transaction %L of %s is open since %s',
               p.gid, p.owner, p.prepared),
           p.prepared
    FROM pg_catalog.pg_prepared_xacts AS p
) AS h
ORDER BY h.since LIMIT 1
