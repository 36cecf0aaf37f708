"""What tests share: a raw client of its own making, servers on free ports, and sinks that can be blocked."""
