"""What the compiled server knows: its rules, how far it has come, and a row for each request and cached segment."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from npusim.compilation import record_type
from npusim.kernels.power import ENERGY_PARTS

NONE = -1
"""No request, no node, no prompt; no limit."""

# Who sends requests.
CLOSED, BURST, STREAM, ROUTED, SESSIONS = range(5)
"""As `workload.arrivals`: users that wait for answers, all at once (up to here the next one is sent at once when an
answer is heard of), or at times of their own; or from outside, one by one, by whoever shares them out among several
servers; or turns of sessions, each a while after the answer before it."""

# What can happen next, each with a place in `event_s`.
SERVER_GOES_ON, WORK, ANSWERS, SENDING, SENDING_ENDS, ARRIVAL = range(6)
EVENTS = 6
"""The server's step or wait ends; a request came while it had none; clients hear of answers; the next request of a
stream is due; after its last one; requests reach the queue."""

# Where the server stands.
BEGINS, AT_REST, TURN_BEGINS, DECIDING, TURN_ENDS = range(5)
PROMPT_WANTED, PROMPT_GIVEN, PREFILLING, RUN_GIVEN, DECODING, STEP_GIVEN, MIXING = range(5, 12)
"""BEGINS: nothing has happened; AT_REST: without requests; PROMPT_WANTED: the costs of a prompt are looked up; _GIVEN:
the caller was asked for costs; PREFILLING, DECODING, MIXING: until a step or several end."""

# What the server does next in its turn, and what a policy answers.
PREFILL, PREFILL_CHUNK, DECODE, DECODE_ONE, MIX, END = range(6)

# What the caller is asked for.
NOTHING, NEEDS_PROMPT, NEEDS_RUN, NEEDS_STEP, NEEDS_STALLS, NEEDS_ROOM, DONE = range(7)
"""Costs of a prompt's chunks, of a run of decode steps, of a mixed step; stalls of further steps; empty records."""

DEPTHS = 64
"""More halvings than any array has."""

RULES_DTYPE = record_type(
    [
        ("policy", np.int64),
        ("token_budget", np.int64),
        ("width", np.int64),
        ("largest_chunk", np.int64),
        ("arrival", np.int64),
        ("users", np.int64),
        ("max_sequences", np.int64),
        ("max_waiting", np.int64),
        ("longest_context", np.int64),
        ("block_tokens", np.int64),
        ("capacity", np.float64),
        ("watermark", np.float64),
        ("request_s", np.float64),
        ("takes_in", np.bool_),
        ("idle_w", np.float64),
        ("ahead", np.bool_),
        ("holds", np.bool_),
        ("drawing_s", np.float64),
        ("whole_answers", np.bool_),
        ("caching", np.bool_),
        ("keeps_answers", np.bool_),
        ("warm", np.bool_),
        ("keeps", np.bool_),
        ("puts_first", np.bool_),
        ("asks_always", np.bool_),
        ("stalls", np.bool_),
    ]
)
"""As `ServerLimits` and `KvCache` say, blocks as floats; max_waiting, largest_chunk: NONE without limit; asks_always:
the caller gives the costs of each prompt, since a power limiter is on its way or steps are logged; stalls: whether
steps stall at all; takes_in: whether the front end is busy with requests; keeps_answers: whether the prefix cache has
answers too; keeps: KV of answered requests is kept until it is collected; puts_first: whether the first token of a
request whose KV comes from elsewhere is put out here."""

PROGRESS_DTYPE = record_type(
    [
        ("now_s", np.float64),
        ("until_s", np.float64),
        ("may_begin", np.bool_),
        ("paused", np.bool_),
        ("begun_s", np.float64),
        ("worked_s", np.float64),
        ("idled_s", np.float64),
        ("serial", np.int64),
        ("phase", np.int64),
        ("stage", np.int64),
        ("budget_left", np.int64),
        ("resting_since_s", np.float64),
        ("rested_s", np.float64),
        ("rested", np.bool_),
        ("woken", np.bool_),
        ("sending", np.bool_),
        ("steps", np.int64),
        ("seen_s", np.float64),
        ("launch_s", np.float64),
        ("launched_s", np.float64),
        ("fresh", np.int64),
        ("taken_in_s", np.float64),
        ("unsent", np.int64),
        ("timers", np.int64),
        ("groups_begin", np.int64),
        ("groups_end", np.int64),
        ("travelling_end", np.int64),
        ("told", np.int64),
        ("ended", np.int64),
        ("waiting_first", np.int64),
        ("waiting", np.int64),
        ("prefilling", np.int64),
        ("live", np.int64),
        ("chunks", np.int64),
        ("request", np.int64),
        ("prompt_end", np.int64),
        ("prompt", np.int64),
        ("prompt_part", np.int64),
        ("pending", np.int64),
        ("used", np.float64),
        ("peak", np.float64),
        ("evictable", np.float64),
        ("oldest", np.int64),
        ("newest", np.int64),
        ("hit_tokens", np.int64),
        ("asked_tokens", np.int64),
        ("receiving", np.int64),
        ("arrived", np.int64),
        ("admitted", np.int64),
        ("served", np.int64),
        ("refused", np.int64),
        ("preemptions", np.int64),
        ("decode_steps", np.int64),
        ("mixed_steps", np.int64),
        ("prefill_tokens", np.int64),
        ("peak_sequences", np.int64),
        ("intervals", np.int64),
        ("spans", np.int64),
        ("event_s", np.float64, (EVENTS,)),
        ("event_serial", np.int64, (EVENTS,)),
        ("parts_j", np.float64, (len(ENERGY_PARTS),)),
        ("partial", np.float64, (DEPTHS,)),
    ]
)
"""How far a run has come. Times in seconds.

until_s: how far it may go on, may_begin: whether turns may begin then (of ROUTED; else to the end); paused: it has come
so far; begun_s: when the steps under way began; worked_s: when the last ones ended, idled_s: time without steps (of
ROUTED).

serial: events so far; stage: of the turn; budget_left: prompt tokens that it may still compute; resting_since_s:
AT_REST since; rested_s: length of the last rest, where the caller has not heard of one yet (rested); woken: whether
WORK has happened since the last rest began; sending: whether clients have begun; steps: begun; seen_s: until when
requests came that the next step's schedule knows; launch_s, launched_s: in which the host launches the mixed step that
was costed, and when it had launched the last one; fresh: of those that joined last, how many did with the last step;
taken_in_s: when the front end is done with the last request that it takes in.

unsent: first request that was not sent; timers: turns of SESSIONS whose time is set; groups_begin, groups_end: of those
on their way, travelling_end: requests in them; told, ended: those of `ended` whose clients have heard, and all;
waiting_first, waiting: first place of the ring of waiting requests, and how many; prefilling, live, chunks: lengths of
these lists, as receiving, arrived and admitted are.

request, prompt_end, prompt, prompt_part: whose prompt is computed, up to how many tokens, its place among `prompts`,
and chunks done where each is an event; pending: prompt tokens of requests that were sent and have no token yet. used,
peak, evictable: blocks; oldest, newest: ends of the list of evictable nodes. The rest are counts for the record;
intervals, spans: entries in its buffers. event_s, event_serial: when each of EVENTS happens (inf: not), and which is
first of equal times; parts_j: joules by ENERGY_PARTS; partial: sums of a pairwise sum.
"""

REQUEST_DTYPE = record_type(
    [
        ("index", np.int64),
        ("isl", np.int64),
        ("osl", np.int64),
        ("due_s", np.float64),
        ("sent_s", np.float64),
        ("queued_s", np.float64),
        ("intake_s", np.float64),
        ("admitted_s", np.float64),
        ("first_token_s", np.float64),
        ("last_token_s", np.float64),
        ("generated", np.int64),
        ("computed", np.int64),
        ("given", np.int64),
        ("blocks", np.float64),
        ("path", np.int64),
        ("path_nodes", np.int64),
        ("is_first", np.bool_),
        ("after", np.int64),
        ("wait_s", np.float64),
        ("next_path", np.int64),
        ("next_nodes", np.int64),
        ("kept", np.int64),
        ("preemptions", np.int64),
        ("refusal", np.int64),
        ("load_s", np.float64),
    ]
)
"""As `Request`. given: tokens of KV that come from elsewhere, 0 where the prompt is computed here; path, path_nodes:
its segments in `paths`; is_first: whether it is the first turn of a session, after: the next turn of it (NONE: it is
the last one, or no turn), wait_s: seconds until a first turn comes, or another one after the answer before it;
next_path, next_nodes: segments of the prompt that begins with its own and its answer, 0 of them where none does; kept:
how many of its segments it keeps from eviction; load_s: seconds for which its KV from lower tiers is loaded before its
next chunk."""

NODE_DTYPE = record_type(
    [
        ("parent", np.int64),
        ("end", np.int64),
        ("blocks", np.float64),
        ("whole_blocks", np.float64),
        ("users", np.int64),
        ("children", np.int64),
        ("there", np.bool_),
        ("tier", np.int64),
        ("older", np.int64),
        ("newer", np.int64),
    ]
)
"""A segment behind the same ones before it, of any prompt: one node. end: tokens up to its end; blocks: those that it
adds; whole_blocks: full blocks up to its end; there: whether it is cached, children: how many of those behind it
are; older, newer: neighbours in the list of evictable nodes; tier: in which lower one it is, from 1 on (0: none),
where the list is of that one."""

QUEUE_DTYPE = record_type(
    [
        ("due_s", np.float64),
        ("timer_s", np.float64),
        ("timer_serial", np.int64),
        ("timer_of", np.int64),
        ("travelling", np.int64),
        ("sent_s", np.float64),
        ("arrives_s", np.float64),
        ("serial", np.int64),
        ("begin", np.int64),
        ("end", np.int64),
        ("waiting", np.int64),
        ("ended", np.int64),
        ("admitted", np.int64),
    ]
)
"""Lists with a place for each request. due_s: of a stream; timer_s, timer_serial, timer_of: a heap of turns of
SESSIONS, the soonest first: when each is sent, as which event, and which it is; travelling: requests on their way;
sent_s, arrives_s, serial, begin, end: groups of them that were sent at one time: when, when they reach the queue and as
which event, and which of them; waiting: a ring; ended: requests that were answered or refused, in that order; admitted:
those that were, for the first time (of ROUTED)."""

SEQUENCE_DTYPE = record_type(
    [
        ("live", np.int64),
        ("held", np.int64),
        ("remaining", np.int64),
        ("last_s", np.float64),
        ("prefilling", np.int64),
        ("receiving", np.int64),
        ("arrived", np.int64),
        ("chunk_request", np.int64),
        ("chunk_tokens", np.int64),
        ("kept", np.int64),
        ("written", np.int64),
    ]
)
"""Lists with a place for each sequence. live: requests, and along them held, remaining, last_s, as `Live` has them;
prefilling: requests whose prompts are under way; receiving: whose KV is, arrived: whose KV has come, until the next
turn; chunk_request, chunk_tokens: chunks of the mixed step; kept, written: tokens that steps left and wrote, those
among them that were drafted in vain."""

TIER_DTYPE = record_type(
    [
        ("capacity", np.float64),
        ("token_s", np.float64),
        ("latency_s", np.float64),
        ("compute_token_s", np.float64),
        ("used", np.float64),
        ("oldest", np.int64),
        ("newest", np.int64),
        ("hit_tokens", np.int64),
    ]
)
"""As `kvcache.LowerTier`. used: blocks; oldest, newest: ends of the list of its nodes; hit_tokens: loaded from it."""

PROMPT_DTYPE = record_type(
    [("first", np.int64), ("done", np.int64), ("next", np.int64), ("begin", np.int64), ("count", np.int64)]
)
"""first: of the prompts of as many tokens as its place says; the others: of a known prompt of which `done` tokens are
there, the next one of as many tokens, and its chunks."""
CHUNK_DTYPE = record_type(
    [("seconds", np.float64), ("joules", np.float64), ("parts_j", np.float64, (len(ENERGY_PARTS),))]
)
RECORD_DTYPE = record_type(
    [
        ("interval_s", np.float64),
        ("interval_weight", np.float64),
        ("span_s", np.float64),
        ("span_j", np.float64),
    ]
)
"""Two lists of the record, as `Recorder` has them."""

ServerState = namedtuple(
    "ServerState",
    "rules at requests queues sequences scratch nodes paths tiers windows chunk_sizes prompts chunks stall_s record",
)
"""rules, at: one record each; paths: nodes of the prompts of all requests; scratch: (2, sequences); windows: (blocks,
share) of windowed layers; chunk_sizes: compiled ones, rising; stall_s: by step; the others as their types say."""
