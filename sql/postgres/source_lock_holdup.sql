-- Who holds, or waits for, a lock that ACCESS SHARE has to wait for.
SELECT pg_catalog.format(
           'process %s (user %s, application %L, state %s) has a lock on table %s since %s',
           a.pid, a.usename, a.application_name, a.state, l.relation::regclass, a.xact_start)
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database())
ORDER BY a.xact_start LIMIT 1
