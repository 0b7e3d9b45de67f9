"""What an account's credits will be in the coming weeks, at the pace at which they were spent."""
