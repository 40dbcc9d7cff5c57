"""Makes supervisord lose no time and no connection. supervisord.conf loads it with `[rpcinterface:bell]`.

supervisord starts programs in a loop that waits for output of programs, or for a second if there is none. So it
notices the death of a program at once, but restarts it up to a second later. The bell ends that wait when a program
changes its state or a signal comes. And supervisord closes the listening socket of an `fcgi-program` while no process
of it runs. The bell holds that socket open, so that clients wait in its queue. docs/reliability.md has figures for both.

A program without `autostart` is started if the variable is set that `[rpcinterface:bell]` names for it.

supervisord's log goes to standard error, like the logs of all programs. It could otherwise go only to a file, or to
standard output, which is for lines of JSON for other tools.
"""

import os
import signal
import sys

from supervisor import events, loggers


class Bell:
    """A pipe that supervisord waits for. Writing to it ends the wait."""

    def __init__(self):
        self.hears, self.rings = os.pipe()
        os.set_blocking(self.hears, False)
        os.set_blocking(self.rings, False)

    def ring(self, _event):
        os.write(self.rings, b"\0")

    # The methods that supervisord calls on each thing that it waits for.

    def readable(self):
        return True

    def writable(self):
        return False

    def handle_read_event(self):
        os.read(self.hears, 4096)

    def handle_error(self):
        pass


def log_to_stderr(logger):
    """Sends the log to standard error. Lines that cannot be written are lost.

    Otherwise supervisord would report the failure on standard error, and end when that fails too.
    """
    loggers.Handler.handleError = lambda _handler: None
    handler = loggers.StreamHandler(sys.stderr)
    handler.setFormat("%(asctime)s %(levelname)s %(message)s\n")
    handler.setLevel(logger.level)
    logger.addHandler(handler)


def make(supervisord, **variables):
    """Adds a bell. `variables` has the name of a variable for each name of a program.

    Returns an empty interface for XML-RPC, because supervisord expects one.
    """
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

    # supervisord logs when a socket is closed. Without this, Python would close these sockets after
    # supervisord has closed its log, and every stop would end with a traceback.
    def release_sockets(_event):
        held.clear()

    supervisord.options.get_socket_map()[bell.hears] = bell
    events.subscribe(events.SupervisorRunningEvent, hold_sockets)
    events.subscribe(events.SupervisorRunningEvent, start_wanted)
    events.subscribe(events.SupervisorRunningEvent, bell.ring)
    events.subscribe(events.SupervisorStoppingEvent, release_sockets)
    events.subscribe(events.ProcessStateEvent, bell.ring)
    # A program that dies may become a zombie a moment after its pipes are closed, so a signal rings
    # the bell too.
    signal.set_wakeup_fd(bell.rings, warn_on_full_buffer=False)
    return object()
