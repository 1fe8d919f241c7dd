"""A regular package: pgx installs one of this name, which would hide a folder that is none."""
