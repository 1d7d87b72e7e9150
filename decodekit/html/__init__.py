"""Static HTML for a notebook: tables, bars, coloured tokens. No script; every text is escaped."""
