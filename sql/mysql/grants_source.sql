-- On the source, as an account that may create others. What stands in /*! */ is read by
-- versions of MySQL that have it, in /*M! */ by those of MariaDB.
CREATE USER IF NOT EXISTS {role};
-- Set a password: ALTER USER {role} IDENTIFIED BY '...';
-- The binary log, where it ends, and a moment in which all tables hold still; prepared XA
-- transactions; the routines of other accounts; locks that end with each table. With --lock none
-- RELOAD is not needed for run.
GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD /*!80004 , XA_RECOVER_ADMIN */
    /*!80020 , SHOW_ROUTINE */ /*M!100502 , BINLOG ADMIN */ ON *.* TO {role};
GRANT /*!80000 USAGE ON *.* */ /*M!100500 SELECT ON mysql.proc */ TO {role};
-- Only to have check and plan name the accounts of applications, which are not copied:
-- GRANT SELECT ON mysql.* TO {role};
-- Only to be told which session keeps the snapshot from beginning:
-- GRANT PROCESS ON *.* TO {role};
-- Only for dunlin cutover: to have the server refuse writes, to end what keeps the lock from being
-- had, and to write to a server that is read-only, as dunlin reverse does; grant it on both servers.
-- GRANT PROCESS, CONNECTION_ADMIN, SYSTEM_VARIABLES_ADMIN ON *.* TO {role};
-- GRANT SELECT ON performance_schema.* TO {role};
-- On MariaDB: GRANT PROCESS, CONNECTION ADMIN, READ ONLY ADMIN ON *.* TO {role};
