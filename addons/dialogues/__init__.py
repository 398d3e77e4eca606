"""WebSockets: each message of a client is a call, what comes back an answer that streams."""
