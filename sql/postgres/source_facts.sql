SELECT d.datcollate::text AS collation,
       pg_catalog.has_database_privilege(d.oid, 'CREATE') AS may_publish,
       ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension AS e ORDER BY 1) AS extensions,
       EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS large_objects,
       ARRAY(SELECT CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole)::text END
             FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c
             WHERE s.setdatabase = d.oid ORDER BY s.setrole, c) AS setting_roles,
       ARRAY(SELECT c
             FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c
             WHERE s.setdatabase = d.oid ORDER BY s.setrole, c) AS settings,
       ARRAY(SELECT 'event trigger ' || t.evtname
             FROM pg_catalog.pg_event_trigger AS t
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS member
                               WHERE member.classid = 'pg_catalog.pg_event_trigger'::regclass
                                 AND member.objid = t.oid AND member.deptype = 'e')
             UNION ALL
             SELECT 'publication ' || p.pubname
             FROM pg_catalog.pg_publication AS p WHERE p.puballtables
             ORDER BY 1) AS privileged,
       ARRAY(SELECT s.subname::text FROM pg_catalog.pg_subscription AS s
             WHERE s.subdbid = d.oid ORDER BY 1) AS subscriptions
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
