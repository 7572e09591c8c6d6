"""The whole site in two files: what may lie with other backups, and the keys, sealed."""
