-- What becomes of a tenant's tunnels to hosts that are no AI provider's; empty: what the proxy's own setting says.
ALTER TABLE tenant ADD COLUMN unknown_hosts text NOT NULL DEFAULT '' CHECK (unknown_hosts IN ('', 'tunnel', 'deny'));
