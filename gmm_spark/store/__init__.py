"""The text formats of the package's files: model directories, pointers to runs, and JSON from untrusted files."""
