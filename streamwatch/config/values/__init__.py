"""The types of values in a configuration: validation, error messages and JSON Schema of each.

Validators accept YAML's values (and numbers as strings, which may come from `${NAME}`) as well as
the Python type itself, so that settings can be made in code too. They raise `Wrong`.
"""
