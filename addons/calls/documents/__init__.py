"""Documents in calls (PDF, Office): their texts, read in a process apart, since they are somebody else's."""
