"""The straight line from a study to its receipts."""
