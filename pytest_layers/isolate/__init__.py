"""Where a case runs: in a fresh process, under a supervisor that measures it and ends what it leaves.

Three processes take part:

    pytest (the parent)       launch: starts a supervisor for each case and yields its messages
      -> supervisor           supervise: starts the child, samples its tree, stops a runaway, ends what is left
           -> child           child: runs the one test, marks the measured window, sends pytest's reports

What they say to each other:

    job               what the supervisor is to run, and how far the case may go
    wire              the messages, one JSON object a line
    pipes             the pipes that messages are sent through

Parts of the supervisor:

    case_process      starts the child, in a session of its own
    kernel            what it asks of the kernel: adopt orphans, end with the parent, wake on time
    brake             when a case is stopped for its memory
    hard_limit        the hard limit of a case: kept by a cgroup where there can be one, else by the brake
    cgroup            a memory cgroup for one case
    stack_sampler     asks the child which line of code runs, and keeps the answers

Parts of the child:

    stack_responder   a thread that answers the stack sampler

With `--layers-isolation=none` there is no child:

    in_place_window   the window of a case in pytest's own process; the supervisor only measures
"""
