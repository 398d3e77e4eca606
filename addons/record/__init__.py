"""Records: made, written to the spool, and sent to Redis."""
