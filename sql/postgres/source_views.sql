-- Views, materialised or not, each with the relations that its definition reads.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind = 'm' AS materialized,
       c.relispopulated AS populated,
       ARRAY(SELECT DISTINCT d.refobjid
             FROM pg_catalog.pg_rewrite w
             JOIN pg_catalog.pg_depend d
                 ON d.classid = 'pg_catalog.pg_rewrite'::regclass
                 AND d.objid = w.oid
                 AND d.refclassid = 'pg_catalog.pg_class'::regclass
                 AND d.refobjid <> c.oid
             WHERE w.ev_class = c.oid) AS reads
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm')
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend member
      WHERE member.classid = 'pg_catalog.pg_class'::regclass
        AND member.objid = c.oid
        AND member.refclassid = 'pg_catalog.pg_extension'::regclass
        AND member.deptype = 'e')
ORDER BY n.nspname, c.relname
