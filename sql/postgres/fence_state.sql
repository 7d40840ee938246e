-- What a fence needs of the database and the role: transactions that only a statement can end, a place
-- for the function that refuses writes, and its language.
SELECT ARRAY(SELECT p.gid FROM pg_catalog.pg_prepared_xacts AS p
             WHERE p.database = pg_catalog.current_database()) AS prepared,
       CASE WHEN s.oid IS NULL
            THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
            ELSE pg_catalog.has_schema_privilege(s.oid, 'CREATE') END AS may_create,
       EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql') AS plpgsql,
       pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') AS may_end_sessions
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_namespace AS s ON s.nspname = 'dunlin_fence'
