"""A worker that is ended says which shards are lost, if any.

A worker whose shard has died names it in the error of its op. Another one may
wait in an AllReduce for that worker at this moment, and knows nothing: it ends
with Horovod's error, or by the SIGTERM that horovodrun sends to the workers left.
So a worker of several asks the shards when it ends in one of these ways.

Thread-safety: `name_lost_shards` may be called by any thread, `at_sigterm` by one
at a time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from het_tf import administration
from het_tf.security import Security

# horovodrun kills a worker five seconds after the SIGTERM.
_PATIENCE_SECONDS = 4.0
_shards: Sequence[str] = ()
_security = Security()
_installed = False


def name_lost_shards(shards: Sequence[str], security: Security) -> None:
    """Asks the shards and prints those that do not answer, with the reason; takes four seconds at the most.

    One after the other, in the calling thread: no thread can be started while
    Python ends. A shard that hangs takes half of the time that is left.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    for index, address in enumerate(shards):
        try:
            left = (end - time.monotonic()) / 2
            with administration.ShardClient(address, timeout_seconds=left, security=security) as shard:
                shard.hello()
        except Exception as error:  # whatever it is, it is about that shard
            print(f"het_tf: shard {index} ({address}) is lost: {error}", file=sys.stderr, flush=True)


def at_sigterm(shards: Sequence[str], security: Security) -> None:
    """From now on SIGTERM names the lost ones among `shards` before it ends this process with status 143.

    Also while the main thread is inside an op, where Python's own handlers wait:
    the signal's number is written to a pipe at once, and a thread reads it.
    Does nothing where SIGTERM, or the wakeup descriptor of Python's signals, has
    an owner already, and outside of the main thread; a handler installed later
    takes the place of this one.
    """
    global _installed, _security, _shards
    _shards, _security = tuple(shards), security
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    owner = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if owner != -1:
        signal.set_wakeup_fd(owner)
        os.close(reader)
        os.close(writer)
        return

    def handler(number: int, _: object) -> None:
        os.write(writer, bytes((number,)))  # in case the wakeup descriptor has another owner by now

    def wait() -> None:
        while True:
            if os.read(reader, 1)[0] == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is handler:
                try:
                    name_lost_shards(_shards, _security)
                finally:
                    os._exit(128 + signal.SIGTERM)

    # The signals of a forked child are not this process's, from its first moment.
    forking = threading.local()

    def before_fork() -> None:
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))

    def after_fork() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def in_forked_child() -> None:
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        after_fork()

    signal.signal(signal.SIGTERM, handler)
    os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=in_forked_child)
    threading.Thread(target=wait, daemon=True, name="het_tf.at_sigterm").start()
    _installed = True
