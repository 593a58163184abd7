"""Long stress tests of the daemon, as scripts; each prints its results."""
