"""The peer-filtered hillclimb of Baluja, Covell and Sukthankar, "The Virtues of Peer Pressure"."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from pipeline import seeding
from pipeline.criteria import PeerPressure, class_and_rival
from pipeline.operators.operator import Compose, Operator, Pose
from pipeline.search.moves.lanes import Answer, Trials, select


class HillclimbState(NamedTuple):
    """A trial under way; every field has one row a slot.

    Attributes:
      drawn: int32, candidates drawn so far; also the number of the next one.
      failures: int32, candidates drawn since the last move.
      moves: int32, accepted candidates.
      confidence: float32, the target net's probability of the class after the last move.
      found: bool, the last move reached the goal.
      steps: int32 `[L, max_moves]`, the number of each accepted candidate.
      confidences: float32 `[L, max_moves]`, `confidence` after each move.
      pose: the operator's, all moves composed (its identity where images are composed instead).
      source: the operator's, `[L, ...]`, of the image so far, where images are composed; else `[L]` zeros.
    """

    drawn: tf.Tensor
    failures: tf.Tensor
    moves: tf.Tensor
    confidence: tf.Tensor
    found: tf.Tensor
    steps: tf.Tensor
    confidences: tf.Tensor
    pose: Pose
    source: tf.Tensor


class Candidate(NamedTuple):
    """A proposed move: `images` float32 `[L, H, W, C]` in [0, 1], and the pose and source that made them."""

    images: tf.Tensor
    pose: Pose
    source: tf.Tensor


class Move(NamedTuple):
    """What a state takes over from an accepted candidate."""

    confidence: tf.Tensor
    goal: tf.Tensor
    pose: Pose
    source: tf.Tensor


class HillclimbResult(NamedTuple):
    """What is kept of a trial: the fields of `HillclimbState` that tell how it went."""

    drawn: tf.Tensor
    moves: tf.Tensor
    confidence: tf.Tensor
    found: tf.Tensor
    steps: tf.Tensor
    confidences: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Hillclimb:
    """Next-ascent search: the first candidate that the peers hold and the target net likes less is the next state.

    Attributes:
      operator: draws the small transforms.
      criterion: when the peers hold and when the goal is reached.
      patience: a trial ends after so many candidates in a row without a move.
      max_moves: a trial ends after so many moves.
      compose: "matrix" applies the composed matrix to the seed image (one resampling); "image" resamples the last
        image at each move, as the paper did.
    """

    operator: Operator
    criterion: PeerPressure
    patience: int = 250
    max_moves: int = 64
    compose: Compose = "matrix"

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the operator's sources."""
        return self.operator.sources(images)

    def init(self, trials: Trials, sources: tf.Tensor) -> HillclimbState:
        """Starts at the seed image, with no move made."""
        lanes = trials.row.shape[0]
        zeros = tf.zeros([lanes], tf.int32)
        return HillclimbState(
            drawn=zeros,
            failures=zeros,
            moves=zeros,
            confidence=trials.confidence,
            found=tf.zeros([lanes], tf.bool),
            steps=tf.zeros([lanes, self.max_moves], tf.int32),
            confidences=tf.zeros([lanes, self.max_moves]),
            pose=self.operator.identity(lanes, sources),
            source=tf.gather(sources, trials.row) if self.compose == "image" else tf.zeros([lanes]),
        )

    def horizon(self, state: HillclimbState) -> tf.Tensor:
        """Returns int32 `[L]`: what is left of the patience."""
        return self.patience - state.failures

    def propose(
        self, run_seed: tf.Tensor, trials: Trials, state: HillclimbState, ahead: tf.Tensor, sources: tf.Tensor
    ) -> Candidate:
        """Draws the move that belongs to the candidate's number and applies it to the state."""
        parameters = len(self.operator.parameter_names)
        numbers = seeding.draws_tf(run_seed, trials.seed_words, trials.target_net, state.drawn + ahead, parameters)
        pose = self.operator.then(state.pose, numbers, sources)
        if self.compose == "image":
            images = self.operator.apply(state.source, tf.range(ahead.shape[0]), pose)
            return Candidate(images / 255.0, state.pose, state.source)
        return Candidate(self.operator.apply(sources, trials.row, pose) / 255.0, pose, state.source)

    def answer(self, trials: Trials, state: HillclimbState, probabilities: tf.Tensor, is_target: tf.Tensor) -> Answer:
        """Passes what a peer holds, and what the target net likes less than the state."""
        own, rival = (one[0] for one in class_and_rival(probabilities[None], trials.target_class))
        passes = tf.where(is_target, own < state.confidence, self.criterion.holds(own, rival))
        return Answer(passes, own, self.criterion.misled(own, rival))

    def move(self, candidate: Candidate, answer: Answer) -> Move:
        """Takes the candidate for the next state; the goal is reached where the target net is misled."""
        source = self.operator.sources(candidate.images * 255.0) if self.compose == "image" else candidate.source
        return Move(answer.confidence, answer.misled, candidate.pose, source)

    def advance(self, state: HillclimbState, drawn: tf.Tensor, won: tf.Tensor, winner: Move) -> HillclimbState:
        """Counts the candidates, and takes the winner's place where there is one."""
        here = won[:, None] & (tf.range(self.max_moves)[None] == state.moves[:, None])
        kept = HillclimbState(
            drawn=state.drawn + drawn,
            failures=tf.where(won, 0, state.failures + drawn),
            moves=state.moves + tf.cast(won, tf.int32),
            confidence=tf.where(won, winner.confidence, state.confidence),
            found=won & winner.goal,
            steps=tf.where(here, (state.drawn + drawn - 1)[:, None], state.steps),
            confidences=tf.where(here, winner.confidence[:, None], state.confidences),
            pose=select(won, winner.pose, state.pose),
            source=state.source,
        )
        if self.compose == "image":
            kept = kept._replace(source=select(won, winner.source, state.source))
        return kept

    def done(self, state: HillclimbState) -> tf.Tensor:
        """Ends at the goal, without patience, or with all moves made."""
        return state.found | (state.failures >= self.patience) | (state.moves >= self.max_moves)

    def result(self, state: HillclimbState) -> HillclimbResult:
        """Keeps what tells how the trial went."""
        return HillclimbResult(*(getattr(state, field) for field in HillclimbResult._fields))
