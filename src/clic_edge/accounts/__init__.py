"""Logging in: passwords, sessions, tokens, waits after failures, and OpenID Connect."""
