-- What the named publications publish. `plain` where it is nothing but whole tables: no filter, no
-- list of columns, no schema. `via_root` where partitions go by their root's name. Asked of standbys
-- only, so these columns are there; the one for generated columns is as of 18.
SELECT p.pubname::text AS name,
       pg_catalog.concat_ws(', ',
                            CASE WHEN p.pubinsert THEN 'insert' END,
                            CASE WHEN p.pubupdate THEN 'update' END,
                            CASE WHEN p.pubdelete THEN 'delete' END,
                            CASE WHEN p.pubtruncate THEN 'truncate' END) AS operations,
       p.pubviaroot AS via_root,
       NOT p.puballtables
       AND COALESCE(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n') = 'n'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS s
                       WHERE s.pnpubid = p.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel AS r
                       WHERE r.prpubid = p.oid
                         AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)) AS plain,
       ARRAY(SELECT n.nspname::text
             FROM pg_catalog.pg_publication_rel AS r
             JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE r.prpubid = p.oid ORDER BY c.oid) AS schemas,
       ARRAY(SELECT c.relname::text
             FROM pg_catalog.pg_publication_rel AS r
             JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
             WHERE r.prpubid = p.oid ORDER BY c.oid) AS tables
FROM pg_catalog.pg_publication AS p
WHERE p.pubname::text = ANY ($1)
