"""The server as one compiled loop over arrays; it gives, to the last bit, what `server.Server` gives as a process."""
