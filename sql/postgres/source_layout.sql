SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       c.relpersistence = 'u' AS unlogged,
       c.relfilenode AS storage,
       c.relispartition AS partition,
       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i
             WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) AS parents,
       ARRAY(SELECT i.xmin::text::int8 FROM pg_catalog.pg_inherits i
             WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) AS links,
       extension.extname IS NOT NULL AS of_extension,
       COALESCE(c.oid = ANY (extension.extconfig), false) AS extension_config
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend member
    ON member.classid = 'pg_catalog.pg_class'::regclass
    AND member.objid = c.oid
    AND member.objsubid = 0
    AND member.refclassid = 'pg_catalog.pg_extension'::regclass
    AND member.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension extension ON extension.oid = member.refobjid
WHERE c.relkind IN ('r', 'p', 'f')
  AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname
