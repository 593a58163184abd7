"""The YAML file with line and column of each value: reading, expanding `${…}`, editing, writing."""
