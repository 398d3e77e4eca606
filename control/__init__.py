"""The control service: owns tenants and keys, keeps the audit, never touches traffic."""
