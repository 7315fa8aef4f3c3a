"""Properties: drawn inputs, judged by a plain and slow oracle."""
