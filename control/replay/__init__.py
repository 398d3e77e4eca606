"""What recorded exchanges would have become under other rules: judged again where prompts are kept, else by what records hold."""
