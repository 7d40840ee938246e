-- Accounts and roles: that they are there, and what they hold of the whole server, of databases by the
-- pattern of their names, and of single tables and routines. Roles have no host.
SELECT 'account', User, Host, '' FROM mysql.global_priv
UNION ALL
SELECT 'server', User, Host, '' FROM mysql.global_priv
WHERE JSON_VALUE(Priv, '$.access') > 0
UNION ALL
SELECT 'pattern', User, Host, Db FROM mysql.db
UNION ALL
SELECT 'database', User, Host, Db FROM mysql.tables_priv
UNION ALL
SELECT 'database', User, Host, Db FROM mysql.procs_priv
