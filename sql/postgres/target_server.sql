SELECT current_setting('server_version_num')::int4 AS version_num,
       d.datname::text AS database,
       pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
       pg_catalog.pg_is_in_recovery()
           OR current_setting('default_transaction_read_only')::bool AS read_only,
       current_setting('max_connections')::int4 AS max_connections,
       current_setting('superuser_reserved_connections')::int4
           + COALESCE(current_setting('reserved_connections', true)::int4, 0) AS reserved_connections,
       (SELECT COALESCE(sum(numbackends), 0)::int4 FROM pg_catalog.pg_stat_database)
           AS used_connections,
       current_user::text AS role,
       r.rolsuper AS is_superuser,
       pg_catalog.has_database_privilege(d.oid, 'CREATE') AS may_create_schema,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
           AS may_read_control
FROM pg_catalog.pg_database d
JOIN pg_catalog.pg_roles r ON r.rolname = current_user
WHERE d.datname = pg_catalog.current_database()
