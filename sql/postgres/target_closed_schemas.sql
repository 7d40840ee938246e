-- Of the named schemas that are there, those in which this role may not make tables.
SELECT n.nspname::text AS schema
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname::text = ANY ($1) AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')
ORDER BY 1
