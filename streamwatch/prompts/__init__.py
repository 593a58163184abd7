"""Words become vectors, and vectors what each camera is searched for."""
