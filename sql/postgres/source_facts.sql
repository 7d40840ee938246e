SELECT d.datcollate::text AS collation,
       pg_catalog.has_database_privilege(d.oid, 'CREATE') AS may_publish,
       ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension AS e ORDER BY 1) AS extensions,
       EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS large_objects
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
