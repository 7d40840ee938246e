-- Roles belong to a server, not to a database: they are there before a migration begins.
CREATE ROLE shop_owner;
CREATE ROLE shop_reader;
CREATE ROLE "shop Writer";
