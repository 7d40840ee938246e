-- Sequences that belong to no extension, each with the table whose column owns it, if any. A
-- serial column owns by an automatic dependency ('a'), an identity column by an internal one.
SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       owner.refobjid AS owner
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend owner
    ON owner.classid = 'pg_catalog.pg_class'::regclass
    AND owner.objid = c.oid
    AND owner.refclassid = 'pg_catalog.pg_class'::regclass
    AND owner.refobjsubid > 0
    AND owner.deptype IN ('a', 'i')
WHERE c.relkind = 'S'
  AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend member
      WHERE member.classid = 'pg_catalog.pg_class'::regclass
        AND member.objid = c.oid
        AND member.refclassid = 'pg_catalog.pg_extension'::regclass
        AND member.deptype = 'e')
ORDER BY n.nspname, c.relname
