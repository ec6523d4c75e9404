"""What a runner knows about its batch: what the ledger calls it, and whether it is still ours."""

import anyio

from personad.contract.batch import BatchStatus

_WORKING = frozenset({"queued", "running"})
_SENDING = frozenset({"queued", "running", "pausing", "paused"})
_FINISHING = _SENDING | {"interrupted"}


class HoldLost(Exception):
    """Nothing more is to be started: a pause or an end was asked for, or another has the batch."""


class Standing:
    """The batch's status as last heard of, and whether this runner's hold on it was lost."""

    def __init__(self) -> None:
        self.status: BatchStatus = "queued"
        self.hold_lost = False
        self._changed = anyio.Event()
        self._woken: anyio.Event | None = None
        """While somebody waits for `wake`."""
        self.heard = anyio.Event()
        """Set, and replaced by a new one, when the ledger tells of anything about the batch."""

    @property
    def going_on(self) -> bool:
        """Whether new calls may be started."""
        return self.status in _WORKING and not self.hold_lost

    @property
    def at_once(self) -> bool:
        """Whether even what is in flight is to stop: the batch is cancelled, or another's.

        One that was called interrupted because we were late is nobody's: what is on its way is paid
        for, and its answers are what settles it.
        """
        return self.hold_lost or self.status not in _FINISHING

    @property
    def was_missed(self) -> bool:
        """Whether the ledger has called this runner dead, and its calls unknown."""
        return self.hold_lost or self.status == "interrupted"

    @property
    def may_send(self) -> bool:
        """Whether a call that was granted may still be sent."""
        return not self.hold_lost and self.status in _SENDING

    def now_is(self, status: BatchStatus) -> None:
        if status != self.status:
            # It goes on, and not by us: whoever resumes it has another runner.
            self.hold_lost |= self.status == "interrupted" and status in _SENDING
            self.status = status
            self._tell()

    def hear(self) -> None:
        """The ledger has told of something about the batch."""
        self.heard.set()
        self.heard = anyio.Event()

    def lose_hold(self) -> None:
        self.hold_lost = True
        self._tell()

    async def until_at_once(self) -> None:
        """Returns when what is in flight is to stop."""
        while not self.at_once:
            await self._changed.wait()

    async def rest(self, seconds: float) -> None:
        """Sleeps, but no longer than new calls may be started.

        Raises:
            HoldLost: they may not any more.
        """
        with anyio.move_on_after(seconds):
            while self.going_on:
                await self._changed.wait()
        if not self.going_on:
            raise HoldLost(f"the batch is {self.status}")

    async def until_change(self, seconds: float) -> None:
        """Returns when something was heard of, here or by `wake`, or the time is over.

        Raises:
            HoldLost: new calls may not be started any more.
        """
        if self.going_on:
            if self._woken is None:
                self._woken = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._woken.wait()
        if not self.going_on:
            raise HoldLost(f"the batch is {self.status}")

    def wake(self) -> None:
        """Has those who wait in `until_change` look again; after each call, so it costs little."""
        if self._woken is not None:
            self._woken.set()
            self._woken = None

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
        self.wake()
