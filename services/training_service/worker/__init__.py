"""The worker of one machine: tells what the machine has, claims jobs, and starts an agent for each attempt."""
