"""Whether the gateway does its work, as `/health/ready` tells."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from app.gateway.work import Work


@dataclass(slots=True)
class Health:
    """Looks at the work and its threads.

    Attributes:
        threads: that should run; none while the gateway starts.
    """

    work: Work
    threads: list[threading.Thread] = field(default_factory=list)

    def problem(self) -> str:
        """Why photos are not answered until the operator acts, without names of archives; empty if they are."""
        if not self.threads:
            return "the gateway starts"
        for thread in self.threads:
            if not thread.is_alive():
                return f"a thread has ended: {thread.name.partition('-')[0]}"
        try:
            if self.work.queue.is_full():
                return "the disk is almost full"
        except OSError as error:
            return f"the queue cannot be used: {type(error).__name__}"
        if self.work.server_problem:
            return f"the server answers no photo: {self.work.server_problem}"
        return "the audit log cannot be written" if self.work.audit_problem else ""
