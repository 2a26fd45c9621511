"""Records on disk: the audit log, API keys, their backup."""
