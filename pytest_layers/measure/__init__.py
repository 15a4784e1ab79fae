"""What it cost: readings of a process tree from outside, and the measurement made of them.

    machine    cores, memory and files that this process may use
    host       which of the next two reads
    procfs     read one process (Linux)
    portable   read one process through psutil (macOS, Windows)
    pagefaults what page faults of the whole machine brought, in huge pages and in all
    segments   shared memory of a tree, each segment once
    spill      files in the spill folder of a case
    tree       which processes belong to the case
    cpu        CPU and waiting of a tree, of processes that ended too
    life       what readings say of one process (pure)
    forks      processes that share an image since a fork
    members    who is there, and one reading of each
    twins      processes that share pages since a fork (pure)
    unseen     processes that ended between two readings (pure)
    timeline   footprints over time, thinned out (pure)
    tracker    readings -> bounds on the tree's peak (pure)
    stacks     what was seen running -> the line that ran near the peak, or alone
    sampler    when to read what, at what cost
    findings   what the sampler found, as it crosses the process border (pure)
    reduce     that -> Measurement (pure)
    probe      the sampler on a node of a cluster

All but `reduce` run in the supervisor, `probe` on a node, and, on Linux, use the standard library alone.
"""
