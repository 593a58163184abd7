"""Pictures of alerts: drawn, and kept on disk."""
