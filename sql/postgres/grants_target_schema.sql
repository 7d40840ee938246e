-- Where the schema exists already, dunlin's role must own its tables to build their indexes, so
-- it becomes a member of the owner's role.
GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};
GRANT {owner} TO {role};
