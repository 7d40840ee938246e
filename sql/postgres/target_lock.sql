SELECT pg_catalog.pg_try_advisory_lock(k.key) AS locked,
       (SELECT l.pid FROM pg_catalog.pg_locks AS l
        JOIN pg_catalog.pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND d.datname = pg_catalog.current_database()
          AND l.classid::int8 = (k.key >> 32) & 4294967295
          AND l.objid::int8 = k.key & 4294967295
        LIMIT 1) AS holder
FROM (SELECT pg_catalog.hashtextextended('dunlin ' || $1::text, 0) AS key) AS k
