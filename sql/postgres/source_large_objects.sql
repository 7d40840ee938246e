-- The next large objects by OID, each with its first piece and what makes it whole: owner,
-- comment and privileges. The inner LIMIT keeps lo_get from reading any other.
SELECT m.oid,
       pg_catalog.lo_get(m.oid, 0, $3) AS piece,
       pg_catalog.pg_get_userbyid(m.lomowner)::text AS owner,
       pg_catalog.obj_description(m.oid, 'pg_largeobject') AS comment,
       ARRAY(SELECT CASE WHEN a.grantee = 0 THEN NULL
                         ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END
             FROM pg_catalog.aclexplode(m.lomacl) a
             WHERE a.grantee <> m.lomowner
             ORDER BY a.grantee, a.privilege_type) AS grantees,
       ARRAY(SELECT a.privilege_type || CASE WHEN a.is_grantable
                                             THEN ' WITH GRANT OPTION' ELSE '' END
             FROM pg_catalog.aclexplode(m.lomacl) a
             WHERE a.grantee <> m.lomowner
             ORDER BY a.grantee, a.privilege_type) AS privileges
FROM (SELECT oid, lomowner, lomacl
      FROM pg_catalog.pg_largeobject_metadata
      WHERE oid > $1
      ORDER BY oid
      LIMIT $2) m
ORDER BY m.oid
