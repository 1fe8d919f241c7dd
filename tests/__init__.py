"""A regular package: pgx installs one of this name, which would come before a folder without this."""
