-- What this role lacks on the given tables, and which of them would hide rows from it.
SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_select,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns,
       pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
       pg_catalog.row_security_active(c.oid) AS hides_rows
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1)
ORDER BY n.nspname, c.relname
