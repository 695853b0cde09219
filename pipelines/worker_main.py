"""The program of a worker process of this machine: Beam's own, whose log goes to the launching process and nowhere else.

Some modules of Beam warn while they are imported, before it has set up its log. Python then makes one that writes all that follows to
stderr, between the lines of the command. A handler that is there already keeps it from that.
"""

import logging
import runpy

if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())
    runpy.run_module("apache_beam.runners.worker.sdk_worker_main", run_name="__main__", alter_sys=True)
