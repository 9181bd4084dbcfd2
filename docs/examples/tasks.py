"""What the orchestrator's agents do: tasks, their trials, and where these part.

Plain values, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tract import ContentModel, from_openai
from transcripts import BadTranscript, Message, Transcript, check_name

MODEL = "gpt-4o"
TEMPERATURES = (0.0, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Turn:
    """One message, and the contents that are committed for it.

    `beginning` numbers the messages up to this one within their task: trials that begin alike have
    the same number there.
    """

    message: Message
    contents: tuple[ContentModel, ...]
    beginning: int

    @property
    def is_assistant(self) -> bool:
        """Whether the agent itself speaks."""
        return bool(self.message["role"] == "assistant")


@dataclass(frozen=True)
class Trial:
    """One agent's way through a task; its first `inherited` turns were made by others."""

    branch: str
    reward: float | None
    config: dict[str, Any]
    turns: tuple[Turn, ...]
    inherited: int


@dataclass(frozen=True)
class Task:
    """One task; `given` is what all trials share before an agent first speaks."""

    id: str
    given: tuple[Turn, ...]
    trials: tuple[Trial, ...]

    @property
    def beginnings(self) -> dict[int, Turn]:
        """The last turn of each distinct beginning: what the store has to hold once."""
        return {turn.beginning: turn for trial in self.trials for turn in trial.turns}


def plan(transcripts: Sequence[Transcript]) -> list[Task]:
    """Return the tasks of a file, with the turns where their trials part."""
    tasks: dict[str, dict[int, Transcript]] = {}
    for transcript in transcripts:
        name = task_name(transcript)
        trials = tasks.setdefault(name, {})
        number = transcript.record.get("trial", len(trials))
        if type(number) is not int or not 0 <= number < 10**9:
            raise BadTranscript(f"{transcript.where}: the trial {number!a} is no small integer")
        if number in trials:
            raise BadTranscript(f"{transcript.where}: trial {number} of {name!a} was there before")
        trials[number] = transcript
    return [plan_task(name, trials) for name, trials in tasks.items()]


def plan_task(name: str, transcripts: dict[int, Transcript]) -> Task:
    """Return a task: each trial goes on from the longest beginning that was made before it."""
    numbers: dict[tuple[int, tuple[str, ...]], int] = {}
    ways = [turns_of(transcript.messages, numbers) for transcript in transcripts.values()]
    given = shared(ways)
    made = {turn.beginning for turn in given}
    trials = []
    for index, (number, transcript) in enumerate(transcripts.items()):
        config = {"model": MODEL, "temperature": TEMPERATURES[index % len(TEMPERATURES)]}
        inherited = sum(turn.beginning in made for turn in ways[index])
        made.update(turn.beginning for turn in ways[index])
        reward = reward_of(transcript)
        trials.append(Trial(f"trial-{number}", reward, config, ways[index], inherited))
    return Task(name, given, tuple(trials))


def turns_of(
    messages: Sequence[Message], numbers: dict[tuple[int, tuple[str, ...]], int]
) -> tuple[Turn, ...]:
    """Return the turns of a trial; *numbers* keeps the beginnings seen so far."""
    turns, before = [], -1
    for message in messages:
        contents = tuple(from_openai([message]))
        said = tuple(content.model_dump_json() for content in contents)
        before = numbers.setdefault((before, said), len(numbers))
        turns.append(Turn(message, contents, before))
    return tuple(turns)


def shared(ways: Sequence[Sequence[Turn]]) -> tuple[Turn, ...]:
    """Return the turns that all *ways* begin with, before an agent first speaks."""
    given = []
    for turns in zip(*ways, strict=False):
        if turns[0].is_assistant or len({turn.beginning for turn in turns}) > 1:
            break
        given.append(turns[0])
    return tuple(given)


def task_name(transcript: Transcript) -> str:
    """Return the id of the tract that a transcript belongs to."""
    task = transcript.record.get("task")
    if task is None:
        return transcript.id
    if type(task) not in (int, str):
        raise BadTranscript(f"{transcript.where}: the task {task!a} is no string and no integer")
    check_name("task", f"task-{task}", transcript.where)
    return f"task-{task}"


def reward_of(transcript: Transcript) -> float | None:
    """Return how well a trial did its task, or None if that is not known."""
    reward = transcript.record.get("reward")
    if reward is None:
        return None
    if type(reward) not in (int, float) or not math.isfinite(reward):
        raise BadTranscript(f"{transcript.where}: the reward {reward!a} is no number")
    return float(reward)
