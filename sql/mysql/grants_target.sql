-- On the target, as an account that may create others. What stands in /*! */ is read by
-- versions of MySQL that have it, in /*M! */ by those of MariaDB.
CREATE USER IF NOT EXISTS {role};
-- Set a password: ALTER USER {role} IDENTIFIED BY '...';
-- The state of the migration.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, CREATE TEMPORARY TABLES
    ON `dunlin`.* TO {role};
-- Only where views, routines, triggers or events run as other accounts:
GRANT USAGE /*!80200 , SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER */
    /*M!100502 , SET USER */ ON *.* TO {role};
-- Before MySQL 8.2: GRANT SET_USER_ID ON *.* TO {role};
-- Only where one of these accounts has SYSTEM_USER: GRANT SYSTEM_USER ON *.* TO {role};
-- Only where ENUM columns hold many values that are no label (index 0), on MySQL:
-- GRANT SESSION_VARIABLES_ADMIN ON *.* TO {role};
-- Only with --target-binlog off, SESSION_VARIABLES_ADMIN too, or on MariaDB:
-- GRANT BINLOG ADMIN ON *.* TO {role};
-- Only where the target writes a binary log and there are functions or triggers:
-- SET GLOBAL log_bin_trust_function_creators = ON;
