"""Makes supervisord lose no time and no connection: loaded into it by supervisord.conf, `[rpcinterface:bell]`.

supervisord starts programs in a loop that waits for output of theirs, or for a second when there is none. It
notices a death at once and starts the next one a second later. A bell ends that wait whenever a program changes
its state or a signal comes. And supervisord closes the listening socket of an `fcgi-program` while no process of
it runs; here it is held, so that clients wait in its queue. docs/reliability.md has what both are worth.

Programs without `autostart` are started where the variable is set that `[rpcinterface:bell]` has for them.

And its log goes to standard error, as those of all programs do: it would else be standard output, where lines of JSON
for other tools go, or a file.
"""

import os
import signal
import sys

from supervisor import events, loggers


class Bell:
    """A pipe among those that supervisord waits for."""

    def __init__(self):
        self.hears, self.rings = os.pipe()
        os.set_blocking(self.hears, False)
        os.set_blocking(self.rings, False)

    def ring(self, _event):
        os.write(self.rings, b"\0")

    # What supervisord asks of each thing that it waits for.

    def readable(self):
        return True

    def writable(self):
        return False

    def handle_read_event(self):
        os.read(self.hears, 4096)

    def handle_error(self):
        pass


def log_to_stderr(logger):
    """What cannot be written is lost: supervisord would complain on standard error, and end where that has failed."""
    loggers.Handler.handleError = lambda _handler: None
    handler = loggers.StreamHandler(sys.stderr)
    handler.setFormat("%(asctime)s %(levelname)s %(message)s\n")
    handler.setLevel(logger.level)
    logger.addHandler(handler)


def make(supervisord, **variables):
    """Adds a bell. `variables` are names of variables by names of programs. Returns an interface for XML-RPC, which is what the loading is meant for: an empty one."""
    log_to_stderr(supervisord.options.logger)
    bell = Bell()
    held = []

    def hold_sockets(_event):
        groups = supervisord.process_groups.values()
        held.extend(group.socket_manager.get_socket() for group in groups if hasattr(group, "socket_manager"))

    def start_wanted(_event):
        for group in supervisord.process_groups.values():
            for name, process in group.processes.items():
                if os.environ.get(variables.get(name, "")):
                    process.config.autostart = True

    # supervisord logs that it closes a socket, and its log is closed before Python lets go of ours: without this, every
    # stop ends with a traceback.
    def release_sockets(_event):
        held.clear()

    supervisord.options.get_socket_map()[bell.hears] = bell
    events.subscribe(events.SupervisorRunningEvent, hold_sockets)
    events.subscribe(events.SupervisorRunningEvent, start_wanted)
    events.subscribe(events.SupervisorRunningEvent, bell.ring)
    events.subscribe(events.SupervisorStoppingEvent, release_sockets)
    events.subscribe(events.ProcessStateEvent, bell.ring)
    # A program that has died may become a zombie a moment after its pipes are closed.
    signal.set_wakeup_fd(bell.rings, warn_on_full_buffer=False)
    return object()
