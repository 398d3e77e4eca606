"""What README's figures come from. Each figure is a ratio of two things measured side by side, interleaved, in one run."""
