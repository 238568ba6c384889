"""Processes forked from this one, which has imported all that they need and run none of it."""

import os
import select
import signal
import traceback


class Child:
    """Runs work(tell) and says what that told, line by line, even after it was killed."""

    def __init__(self, work, errors):
        """`errors` is the file that standard error goes to."""
        self._pipe, pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, pipe, errors)
        os.close(pipe)
        self._pidfd = os.pidfd_open(self.pid)
        self.code = None

    def wait(self, seconds):
        """Whether it ended in that time."""
        if self.code is None and select.select([self._pidfd], [], [], seconds)[0]:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._pidfd)
        return self.code is not None

    def kill(self):
        """True when it was alive until then."""
        if self.code is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self.wait(None)
            return self.code == -signal.SIGKILL
        return False

    def lines(self):
        """All that it told; to be called once, when it has ended."""
        with open(self._pipe, encoding="utf-8") as pipe:
            return pipe.read().splitlines()


def _run(work, pipe, errors):
    code = 1
    try:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        work(lambda line: os.write(pipe, f"{line}\n".encode()))
        code = 0
    except BaseException as error:
        traceback.print_exc()
        line = f"failed {type(error).__name__}: {error}".replace("\n", " ")
        os.write(pipe, line[:2000].encode() + b"\n")
    finally:
        os._exit(code)
