"""Who may come in: PINs, second factors, limits on guessing, tokens and roles. Knows nothing of reports."""
