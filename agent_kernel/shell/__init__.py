"""What a person types in: magics, slash commands, the views of a run, and the bridge to the event loop."""
