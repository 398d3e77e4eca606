"""The proxy plug-in. Meets traffic, decides nothing itself: rules judge, contract carries, control owns."""
