SELECT EXISTS (
           SELECT 1 FROM pg_catalog.pg_locks AS l
           JOIN pg_catalog.pg_database AS d ON d.oid = l.database
           WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
             AND l.classid = $1 AND l.objid = $2
             AND d.datname = pg_catalog.current_database()
       ) AS run_there,
       EXISTS (
           SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = $3
       ) AS slot_there
