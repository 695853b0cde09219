"""Worker processes of this machine that do not hear of Ctrl-C, and say nothing on stderr (`pipelines.worker_main`).

A terminal sends it to all processes in the foreground at once. The launching process hears it, says what is to be said, and ends its
workers (`pipelines.command_line.interruption`); each of them would else end with a traceback of its own. Imported for that effect.
"""

from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler

# A signal that is ignored stays so in the program that a shell becomes (POSIX, exec).
_UNHEARD = b"trap '' INT; exec "
_OF_BEAM, _OWN = b"-m apache_beam.runners.worker.sdk_worker_main", b"-m pipelines.worker_main"


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class UninterruptedWorkerHandler(SubprocessSdkWorkerHandler):
    """Starts a worker as Beam's own handler does, in whose place it is registered."""

    def __init__(self, worker_command_line: bytes, *arguments: Any) -> None:
        super().__init__(_UNHEARD + worker_command_line.replace(_OF_BEAM, _OWN), *arguments)
