"""The core of the event engine: queues, programs and flows in simulated time, compiled, over arrays alone.

A command waits for its inputs, its turn in its queue and room in its pool, starts up, and then runs: for a fixed time
(a program), or until its bytes have flowed over every resource that it uses (a flow). Flows that share resources
share them max-min fairly.
"""
