"""Notices out: by mail, webhook and syslog, from the outbox in the ledger."""
