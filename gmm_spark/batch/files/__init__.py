"""Files: local folders, Hadoop filesystems, tables, and the state of an input's files."""
