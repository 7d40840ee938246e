-- On the target, in the database to be filled, as a superuser.
-- Set a password with \password, or let the role log in by certificate or peer.
CREATE ROLE {role} LOGIN;
GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role};
-- Triggers and foreign keys rest while dunlin writes. From Postgres 15 on this parameter can be
-- granted; before, dunlin's role must be a superuser: ALTER ROLE {role} SUPERUSER;
GRANT SET ON PARAMETER session_replication_role TO {role};
-- Only where the tables exist already: whoever builds their indexes must own them.
-- GRANT {owner} TO {role};
