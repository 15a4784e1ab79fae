"""Where a case runs: in a fresh process, under a supervisor that measures it and ends what it leaves.

wire          the messages, one JSON object a line
pipes         what messages are sent through
job           what a supervisor is asked to do
launch        the parent's side: start a supervisor, give its messages
supervise     between the two: start the child, adopt, sample, stop, end the tree (standard library alone)
case_process  a case's own process, in a session of its own
brake         where a case is stopped
hard_limit    all the memory that a case has: kept by the kernel where it can, else by the brake
cgroup        the memory cgroup of a case's own
answer        which line runs: a thread in the case's process that answers
where         which line runs: the supervisor asks, and keeps the answers
kernel        what a supervisor asks of the kernel
child         the plugin's face inside the child: mark the window, send the reports
place         a case in pytest's own process: the supervisor only looks on
"""
