"""What the proxy knows of tenants: the snapshot with their keys and rules, and their rate limits."""
