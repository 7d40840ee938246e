-- Accounts and roles: that they are there, and what they hold of the whole server, of databases by the
-- pattern of their names, and of single tables and routines.
SELECT 'account', User, Host, '' FROM mysql.user
UNION ALL
SELECT 'server', User, Host, '' FROM mysql.user
WHERE 'Y' IN (Select_priv, Insert_priv, Update_priv, Delete_priv, Create_priv, Drop_priv, Reload_priv,
    Shutdown_priv, Process_priv, File_priv, Grant_priv, References_priv, Index_priv, Alter_priv,
    Show_db_priv, Super_priv, Create_tmp_table_priv, Lock_tables_priv, Execute_priv, Repl_slave_priv,
    Repl_client_priv, Create_view_priv, Show_view_priv, Create_routine_priv, Alter_routine_priv,
    Create_user_priv, Event_priv, Trigger_priv, Create_tablespace_priv, Create_role_priv,
    Drop_role_priv)
UNION ALL
SELECT 'server', USER, HOST, '' FROM mysql.global_grants
UNION ALL
SELECT 'pattern', User, Host, Db FROM mysql.db
UNION ALL
SELECT 'database', User, Host, Db FROM mysql.tables_priv
UNION ALL
SELECT 'database', User, Host, Db FROM mysql.procs_priv
