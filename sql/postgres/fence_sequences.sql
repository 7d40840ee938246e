-- For each of these sequences a statement that changes nothing and locks it, and whether it is
-- permitted. Who owns a sequence already is not made its owner again (ATExecChangeOwner in tablecmds.c),
-- but the lock is taken, against which nextval waits.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
       pg_catalog.format('ALTER SEQUENCE %I.%I OWNER TO %I', n.nspname, c.relname, r.rolname) AS lock,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS permitted
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w(schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'S'
JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
ORDER BY c.oid
