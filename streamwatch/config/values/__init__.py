"""The kinds of value a configuration holds, each with its check, its words and its JSON Schema.

Validators accept what YAML gives (and strings, where `${NAME}` may have put a number there) as
well as the Python value itself, so that settings can also be made in code. They raise `Wrong`.
"""
