-- The subscriptions of this database that are at work on relations $1, or on their partitions.
SELECT DISTINCT s.subname::text AS name
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
JOIN pg_catalog.pg_subscription_rel AS r ON r.srsubid = s.oid
WHERE s.subenabled
  AND (r.srrelid = ANY ($1::oid[])
       OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                  WHERE i.inhrelid = r.srrelid AND i.inhparent = ANY ($1::oid[])))
