"""The agent of one attempt: fetches what it reads, runs its ranks, tells what happens, and hands the result over."""
