"""Words and thresholds tried on footage before they go live, and judged by what they would have
told."""
