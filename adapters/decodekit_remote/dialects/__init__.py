"""The known kinds of servers, one in each file."""
