"""What is kept on disk: the audit log, API keys, their backup."""
