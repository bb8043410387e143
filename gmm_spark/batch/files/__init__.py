"""Where files are: local folders, Hadoop file systems, tables, and what an input is at the moment."""
