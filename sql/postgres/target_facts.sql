SELECT d.datcollate::text AS collation,
       ARRAY(SELECT e.name::text FROM pg_catalog.pg_available_extensions AS e) AS extensions,
       EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS large_objects
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
