"""What stands in the place of shortcuts in copies of labelled examples."""
