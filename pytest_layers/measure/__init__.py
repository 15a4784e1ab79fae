"""What it cost: samples of a process tree, taken from outside, and the measurement made of them.

    sampler -> tracker, cpu -> findings -> reduce -> Measurement

Sampling:

    sampler     decides when to read what, and reads it
    tree        which processes belong to the case; ends them
    members     the processes that are there now, and one reading of each
    forks       which processes share memory since a fork, and how much they hold together
    segments    shared memory of the tree, each segment once
    spill       files in the spill folder of a case
    pagefaults  how much memory page faults of the whole machine brought

Reading the system:

    host        chooses one of the next two
    procfs      reads one process through /proc (Linux)
    portable    reads one process through psutil (macOS, Windows)
    machine     cores, memory and open files that this process may use

From readings to bounds (pure: no clock, no files):

    tracker     bounds on the peak of the whole tree
    life        bounds on one process
    twins       bounds on processes that share pages since a fork
    unseen      bounds on processes that ended between two readings
    timeline    footprints over time, thinned out
    stacks      which line of code ran near the peak, or while one core worked alone (reads that line's file)

CPU time:

    cpu         CPU and waiting of the tree, also of processes that have ended

Results:

    findings    what the sampler found, as sent to pytest
    reduce      turns that into a `Measurement`, in pytest's process
    probe       the sampler on a node of the user's own cluster

All but `reduce` runs in the supervisor, or on a node, and on Linux uses the standard library alone.
"""
