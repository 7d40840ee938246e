-- Who holds, or waits for, a lock that we have to wait for. ACCESS SHARE, which reading needs, waits
-- for ACCESS EXCLUSIVE only; publishing a table needs SHARE UPDATE EXCLUSIVE, which waits for others.
SELECT pg_catalog.format(
           'process %s (user %s, application %L, state %s) has a lock on table %s since %s',
           a.pid, a.usename, a.application_name, a.state, l.relation::regclass, a.xact_start)
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
                 'ShareUpdateExclusiveLock')
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database())
ORDER BY l.mode = 'AccessExclusiveLock' DESC, a.xact_start LIMIT 1
