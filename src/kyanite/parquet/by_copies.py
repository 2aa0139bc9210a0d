"""Parts written by copies of this process, which first read the pages that the plan needs, all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from kyanite.parquet.copies import Copies, Step
from kyanite.parquet.inputs import Place
from kyanite.parquet.layout import Pages
from kyanite.parquet.model import ByCopies, Part, Writer
from kyanite.parquet.part import complete_part
from kyanite.parquet.parts_plan import PartsPlan
from kyanite.parquet.split_plan import CUT, PlannedPart

READ, WRITE, FINISH = "read", "write", "finish"


class PartWriters:
    """The copies; a context that ends them. Each keeps the page tables it has read, and is best for what they cut."""

    def __init__(self, wanted: ByCopies, plan: PartsPlan, open_part: Callable[[str], Writer]) -> None:
        self._wanted = wanted
        self._plan = plan
        self._readers: dict[Place, int] = {}
        self._folder = plan.inputs.folder

        def read(place: Place, step: Step) -> Pages | None:
            return plan.read_pages(place)

        def write(part: PlannedPart, step: Step) -> Part:
            return complete_part(plan.inputs, part, open_part(part.name), step, commits=True)[0]

        def finish(_: None, step: Step) -> object:
            return wanted.finish()

        self._copies = Copies(wanted.number, {READ: read, WRITE: write, FINISH: finish}, plan.inputs.reopen)

    def __enter__(self) -> PartWriters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._copies.end()

    def know_all(self) -> bool:
        """Whether they can have what the plan is made of: not when row groups were encoded anew for the first time."""
        return self._folder == self._plan.inputs.folder

    def read_ahead(self, look: Callable[[], None]) -> None:
        """Read the pages of row groups that will probably be cut; each copy takes neighbours."""
        places = self._plan.expected_cuts()

        def take(number: int, copy: int, pages: Pages | None) -> bool:
            self._readers[places[number]] = copy
            self._plan.learn(places[number], pages)
            return True

        self._copies.run(READ, places, take, look, lambda number: number * self._wanted.number // len(places))

    def write(
        self, planned: Sequence[PlannedPart], take: Callable[[PlannedPart, Part], bool], look: Callable[[int], None]
    ) -> bool:
        """Write the parts as long as `take(planned, made)` takes them, in their order; whether it took all.

        `look` is told how many bytes have been copied.
        """
        is_whole = True

        def took(number: int, copy: int, made: Part) -> bool:
            nonlocal is_whole
            is_whole = take(planned[number], made)
            return is_whole

        def best(number: int) -> int | None:
            cuts = [Place(piece.source, piece.row_group) for piece in planned[number].pieces if piece.how == CUT]
            return next((self._readers[cut] for cut in cuts if cut in self._readers), None)

        self._copies.run(WRITE, planned, took, lambda: look(self._copies.steps), best)
        for told in self._copies.ask_all(FINISH):
            self._wanted.taken(told)
        return is_whole
