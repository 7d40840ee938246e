-- On the source, in the database to be moved, as a superuser or the database's owner.
-- Set a password with \password, or let the role log in by certificate or peer.
CREATE ROLE {role} LOGIN REPLICATION;
GRANT CONNECT ON DATABASE {database} TO {role};
-- A publication is made by a role with CREATE on the database that owns the tables in it:
-- dunlin's role becomes a member of the owner's. Where the source is a standby neither is needed:
-- its primary makes the publications by hand. All of this is then run on the primary.
GRANT CREATE ON DATABASE {database} TO {role};
GRANT {owner} TO {role};
-- Only for dunlin cutover, to end sessions of others that keep a transaction open:
-- GRANT pg_signal_backend TO {role};
-- Only where tables have row security, which would hide rows from the copy:
-- ALTER ROLE {role} BYPASSRLS;
