"""Provider formats: compiled messages out, provider messages in."""
