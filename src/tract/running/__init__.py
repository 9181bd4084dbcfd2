"""What a store needs of the process, the threads and the event loops that it runs in."""
