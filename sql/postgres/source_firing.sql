-- Triggers and rules that fire even where session_replication_role is replica.
SELECT n.nspname::text AS schema, c.relname::text AS name, 'TRIGGER' AS kind,
       t.tgname::text AS hook
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND c.oid = ANY ($1)
UNION ALL
SELECT n.nspname::text, c.relname::text, 'RULE', r.rulename::text
FROM pg_catalog.pg_rewrite AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.ev_enabled IN ('A', 'R') AND c.oid = ANY ($1)
ORDER BY 1, 2, 3, 4
