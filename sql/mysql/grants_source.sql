-- On the source, as an account that may create others. What stands in /*! */ is read by
-- versions of MySQL that have it, in /*M! */ by those of MariaDB.
CREATE USER IF NOT EXISTS {role};
-- Set a password: ALTER USER {role} IDENTIFIED BY '...';
-- The binary log, where it ends, and a moment in which all tables hold still; prepared XA
-- transactions; the routines of other accounts; locks that end with each table.
GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD /*!80004 , XA_RECOVER_ADMIN */
    /*!80020 , SHOW_ROUTINE */ /*M!100502 , BINLOG ADMIN */ ON *.* TO {role};
GRANT /*!80000 USAGE ON *.* */ /*M!100500 SELECT ON mysql.proc */ TO {role};
-- Only to be told which session keeps the snapshot from beginning:
-- GRANT PROCESS ON *.* TO {role};
