-- On the target, in the database to be filled, as a superuser.
CREATE ROLE {role} LOGIN;
GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role};
-- Triggers and foreign keys rest while dunlin writes. From Postgres 15 on this parameter can be
-- granted; before, dunlin's role must be a superuser (ALTER ROLE {role} SUPERUSER;).
GRANT SET ON PARAMETER session_replication_role TO {role};
