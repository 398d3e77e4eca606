"""What the proxy tells of itself: health and metrics."""
