SELECT d.datcollate::text AS collation,
       ARRAY(SELECT e.name::text FROM pg_catalog.pg_available_extensions AS e) AS extensions,
       EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS large_objects,
       ARRAY(SELECT CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole)::text END
             FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c
             WHERE s.setdatabase = d.oid ORDER BY s.setrole, c) AS setting_roles,
       ARRAY(SELECT c
             FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c
             WHERE s.setdatabase = d.oid ORDER BY s.setrole, c) AS settings
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
