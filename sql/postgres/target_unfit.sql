-- Indexes that the server does not use, constraints that it did not check for every row, and triggers
-- that do not fire, of these tables.
SELECT pg_catalog.format('%I.%I', w.schema, w.name) AS relation, u.seen, u.fix
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w(schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name
CROSS JOIN LATERAL (
    SELECT pg_catalog.format('its index %s is not valid', x.indexrelid::regclass) AS seen,
           pg_catalog.format('REINDEX INDEX %s', x.indexrelid::regclass) AS fix
    FROM pg_catalog.pg_index AS x
    WHERE x.indrelid = c.oid AND NOT (x.indisvalid AND x.indisready)
    UNION ALL
    SELECT pg_catalog.format('its constraint %I was not checked for every row', k.conname),
           pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', c.oid::regclass, k.conname)
    FROM pg_catalog.pg_constraint AS k
    WHERE k.conrelid = c.oid AND NOT k.convalidated
    UNION ALL
    SELECT pg_catalog.format('its foreign key trigger %I does not fire', t.tgname),
           pg_catalog.format('ALTER TABLE %s ENABLE TRIGGER %I', c.oid::regclass, t.tgname)
    FROM pg_catalog.pg_trigger AS t
    WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled = 'D') AS u
ORDER BY c.oid, u.seen
