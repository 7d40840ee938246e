-- Indexes and constraints, with what is needed to build them apart from each other. A key is
-- split into index and constraint only over a B-tree on a table that holds rows itself, and not
-- where a child's primary key would make the NOT NULL that it inherits its own (version 18 does so
-- with USING INDEX, see transformIndexConstraint in parse_utilcmd.c).
SELECT i.indexrelid AS oid,
       n.nspname::text AS schema,
       t.relname::text AS "table",
       x.relname::text AS name,
       t.relkind = 'p' AS partitioned,
       CASE WHEN x.relkind = 'i'
            THEN COALESCE(pg_catalog.pg_relation_size(i.indexrelid), 0) ELSE 0 END AS bytes,
       'index' AS kind,
       i.indisreplident AS identity,
       NULL::text AS index_sql,
       false AS deferrable,
       false AS deferred,
       true AS validated
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE t.relkind IN ('r', 'p', 'm')
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                  WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT k.oid,
       n.nspname::text,
       t.relname::text,
       k.conname::text,
       t.relkind = 'p',
       COALESCE(pg_catalog.pg_relation_size(
           CASE k.contype WHEN 'f' THEN k.conrelid ELSE NULLIF(k.conindid, 0) END), 0),
       CASE WHEN k.contype = 'f' THEN 'foreign key'
            WHEN k.contype = 'p' AND t.relkind = 'r' THEN 'primary key'
            WHEN k.contype = 'u' AND t.relkind = 'r' THEN 'unique'
            WHEN k.contype IN ('p', 'u') AND t.relkind = 'p' THEN 'partitioned key'
            ELSE 'other' END,
       COALESCE(i.indisreplident OR i.indisprimary, false),
       CASE WHEN k.contype IN ('p', 'u') AND a.amname = 'btree' AND t.relkind = 'r'
                 AND (k.contype = 'u' OR t.relispartition
                      OR NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h
                                     WHERE h.inhrelid = t.oid))
            THEN pg_catalog.pg_get_indexdef(k.conindid) END,
       k.condeferrable,
       k.condeferred,
       k.convalidated
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_am a ON a.oid = x.relam
WHERE k.contype IN ('p', 'u', 'x', 'f', 'c', 'n')
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
