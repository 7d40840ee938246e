-- The roles $1, in order, and whether ours may take their login away. From version 16 on CREATEROLE alone
-- is not enough ("CREATE ROLE" in the manual).
SELECT wanted.name,
       r.oid IS NOT NULL AS there,
       COALESCE(r.rolcanlogin, false) AS may_log_in,
       wanted.name IN (current_user, session_user) AS own,
       COALESCE(own.rolsuper
                OR own.rolcreaterole AND NOT r.rolsuper
                   AND (pg_catalog.current_setting('server_version_num')::int4 < 160000
                        OR pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')),
                false) AS permitted
FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
JOIN pg_catalog.pg_roles AS own ON own.rolname = current_user
LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = wanted.name
ORDER BY wanted.place
