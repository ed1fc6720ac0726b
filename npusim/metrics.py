"""Every figure that npusim tells, a row each: its name, unit and label, where it is shown, what other tools call it.

METRICS are the figures of a serving run. A row, and the function of its name in `serving/metrics.py`, add one to runs,
tables, workbooks, pages, sweeps and claims. SEARCHES are found over many runs, ESTIMATES are those of a design in a
sweep, DEVICE those of the device around a chip, PASSES those of one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from npusim.metric_row import Alias, Drawn, Follows, Metric, Shown

DECODE, PREFILL, MIXED, RUN, STALLED_RUN = "decode", "prefill", "mixed", "run", "run with stalls"
"""What a figure is of: passes of three kinds, serving runs, runs whose source tells of host stalls."""

VLLM, AIPERF, FURIOSA_PERF, LOADGEN, PROMETHEUS = "vLLM bench", "AIPerf", "furiosa-perf", "LoadGen", "Prometheus"
PUBLISHED, TABLE_COLUMN, FORMER = "published tables", "columns of measured tables", "former spellings"
"""Who has names of their own for figures. GenAI-Perf has AIPerf's."""

UNIT_NAMES: Mapping[str, Mapping[str, float]] = {
    "ms": {"ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "us": 1e-3, "µs": 1e-3, "ns": 1e-6},
    "tokens/s": {"tokens/sec": 1.0, "tokens/s": 1.0, "tok/s": 1.0, "tokens/second": 1.0},
    "tokens/s/user": {"tok/s": 1.0, "tokens/s": 1.0},
    "requests/s": {"requests/sec": 1.0, "requests/s": 1.0, "req/s": 1.0, "per_second": 1.0, "requests/second": 1.0},
    "tokens/J": {"tok/J": 1.0, "tok/s/W": 1.0},
    "W": {"w": 1.0, "kw": 1e3, "mw": 1e-3, "watts": 1.0},
}
"""How files spell the units of figures, and what one of each is worth in the figure's own."""

_KOREAN_STATISTIC = {"mean": "평균"}


def _spread(
    row: Metric, shown: Mapping[str, Shown], interval: str = "", drawn: Drawn | None = None
) -> Iterator[Metric]:
    """The rows of a latency, one a statistic. row: all that they share; interval, drawn: of which of them."""
    for statistic, where in shown.items():
        yield replace(
            row,
            name=f"{row.name}_{statistic}",
            label=f"{row.label} {statistic}",
            korean=f"{row.korean} {_KOREAN_STATISTIC.get(statistic, statistic)}",
            group=row.group or row.label,
            quantity=row.name,
            statistic=statistic,
            shown=where,
            interval=statistic == interval,
            drawn=drawn if statistic == "mean" else None,
        )


def _shown(mean: Shown, rest: Shown = Shown.FOLDED) -> dict[str, Shown]:
    """Where the statistics of a latency are shown."""
    return {"mean": mean, "p50": rest, "p90": rest, "p95": Shown.COMPARED, "p99": rest}


def _with_range(row: Metric) -> Iterator[Metric]:
    """The row of an estimate, and of the ends of its range."""
    yield row
    for side, label, korean in (("low", "low", "하한"), ("high", "high", "상한")):
        yield replace(
            row, name=f"{row.name}_{side}", label=f"{row.label}, {label}", korean=f"{row.korean} {korean}",
            quantity="", meaning="",
        )  # fmt: skip


METRICS: tuple[Metric, ...] = (
    *_spread(
        Metric(
            "ttft_ms", "ms", "TTFT", "TTFT", "", "#,##0.0", "less", "time to first token",
            "from sending a request to its first token (queueing, prefill and host time included)",
            follows=Follows("prefill_ms"),
            measured_as={RUN: ("time_us", PREFILL)},
            aliases=(
                Alias(VLLM, "{}_ttft_ms"), Alias(AIPERF, "time_to_first_token"),
                Alias(FURIOSA_PERF, "{} TTFT(s)", 1e3), Alias(LOADGEN, "result_first_token_{}_latency_ns", 1e-6),
                Alias(PROMETHEUS, "time_to_first_token_seconds", 1e3), Alias(PUBLISHED, "ttft_{}"),
            ),
        ),
        _shown(Shown.BRIEF),
        interval="mean",
        drawn=Drawn("ttft-vs-users", "time to first token against users", "users", True, 3),
    ),
    *_spread(
        Metric(
            "tpot_ms", "ms", "TPOT", "TPOT", "", "#,##0.00", "less", "time per output token",
            "(time of the last token − time of the first) / (output tokens − 1), per request; mean and percentiles "
            "over requests",
            follows=Follows("decode_ms"),
            error_from=("itl_ms_p50",),
            measured_as={RUN: ("time_us", DECODE)},
            aliases=(
                Alias(VLLM, "{}_tpot_ms"), Alias(AIPERF, "inter_token_latency"), Alias(FURIOSA_PERF, "{} TPOT(ms)"),
                Alias(LOADGEN, "result_time_per_output_token_{}_ns", 1e-6),
                Alias(LOADGEN, "result_time_to_output_token_{}", 1e-6),
                Alias(PROMETHEUS, "request_time_per_output_token_seconds", 1e3), Alias(PUBLISHED, "tpot_{}"),
            ),
        ),
        _shown(Shown.BRIEF),
        interval="mean",
        drawn=Drawn("tpot-vs-users", "time per output token against users", "users", True, 4),
    ),
    *_spread(
        Metric(
            "itl_ms", "ms", "ITL", "ITL", "", "#,##0.00", "less", "inter-token latency",
            "time between successive tokens of a request, over all tokens of the run; the stalls while other prompts "
            "are computed are in it",
            follows=Follows("decode_ms"),
            error_from=("tpot_ms_mean",),
            aliases=(
                Alias(VLLM, "{}_itl_ms"), Alias(AIPERF, "inter_chunk_latency"),
                Alias(PROMETHEUS, "inter_token_latency_seconds", 1e3),
                Alias(PROMETHEUS, "time_per_output_token_seconds", 1e3), Alias(PUBLISHED, "itl_{}"),
            ),
        ),
        _shown(Shown.TABLE),
        interval="p50",
    ),
    *_spread(
        Metric(
            "e2e_ms", "ms", "End-to-end", "전체 응답 시간", "", "#,##0", "less", "end to end",
            "from sending a request to its last token",
            follows=Follows("output_tokens_per_s", -1.0, in_value=False),
            error_from=("tpot_ms_mean",),
            aliases=(
                Alias(VLLM, "{}_e2el_ms"), Alias(AIPERF, "request_latency"), Alias(FURIOSA_PERF, "{} E2EL(s)", 1e3),
                Alias(LOADGEN, "result_{}_latency_ns", 1e-6), Alias(PROMETHEUS, "e2e_request_latency_seconds", 1e3),
                Alias(PUBLISHED, "e2e_{}"),
            ),
        ),
        _shown(Shown.TABLE),
        interval="mean",
    ),
    *_spread(
        Metric(
            "client_queue_ms", "ms", "Wait at the client", "클라이언트 대기", "", "#,##0.0", "less", "",
            "from when a request is due until the client sends it",
            error_from=("ttft_ms_mean",),
        ),
        _shown(Shown.RUN, Shown.RUN),
    ),
    Metric(
        "output_tokens_per_s", "tokens/s", "Output throughput", "출력 처리량", "Throughput", "#,##0.0", "more", "",
        "output tokens per second, from the first request to the last answer",
        shown=Shown.BRIEF,
        interval=True,
        width=12,
        best=2,
        follows=Follows("output_tokens_per_s"),
        error_from=("tpot_ms_mean",),
        aliases=(
            Alias(VLLM, "output_throughput"), Alias(AIPERF, "output_token_throughput"),
            Alias(FURIOSA_PERF, "Output Throughput(tok/s)"), Alias(LOADGEN, "result_tokens_per_second"),
            Alias(LOADGEN, "result_completed_tokens_per_second"), Alias(PUBLISHED, "throughput_total"),
        ),
    ),
    Metric(
        "total_tokens_per_s", "tokens/s", "Total throughput", "총 처리량", "Throughput", "#,##0.0", "more",
        "total throughput, prompts included",
        "input and output tokens per second, from the first request to the last answer",
        interval=True,
        width=12,
        best=1,
        drawn=Drawn("throughput-vs-users", "total throughput against users", "users", True, 1),
        follows=Follows("output_tokens_per_s", in_value=False),
        error_from=("output_tokens_per_s",),
        aliases=(Alias(VLLM, "total_token_throughput"), Alias(FURIOSA_PERF, "Total Throughput(tok/s)")),
    ),
    Metric(
        "tokens_per_s_per_user", "tokens/s/user", "Speed per user", "사용자당 속도", "Throughput",
        "#,##0.00", "more", "",
        "1 / mean TPOT",
        interval=True,
        width=14,
        inverse_of="tpot_ms_mean",
        drawn=Drawn(
            "user-speed-vs-throughput", "speed per user against total throughput", "total_tokens_per_s", False, 2
        ),
        follows=Follows("decode_ms", -1.0, in_value=False),
        aliases=(
            Alias(PUBLISHED, "tps_per_request"), Alias(PUBLISHED, "tps_per_user"), Alias(PUBLISHED, "tps_wall"),
            Alias(FORMER, "speed_mean"),
        ),
    ),
    Metric(
        "power_w_mean", "W", "Power mean", "평균 전력", "Power and energy", "#,##0.0", "less", "power, mean",
        "mean over time of the power of the *cards*: no server, no wall socket",
        quantity="power_w",
        statistic="mean",
        shown=Shown.BRIEF,
        interval=True,
        follows=Follows("power_w"),
        measured_as={
            DECODE: ("power_w_mean", RUN),
            PREFILL: ("power_w_mean", RUN),
            MIXED: ("power_w_mean", RUN),
            RUN: ("power_w_mean", DECODE),
        },
        aliases=(
            Alias(AIPERF, "nvidia_power_usage"), Alias(AIPERF, "gpu_power_usage"), Alias(AIPERF, "power_usage"),
            Alias(FURIOSA_PERF, "{}_power"), Alias(PUBLISHED, "power_w"), Alias(TABLE_COLUMN, "power_w"),
            Alias(FORMER, "power_w"),
        ),
    ),
    Metric(
        "power_w_p99", "W", "Power p99", "전력 p99", "Power and energy", "#,##0.0", "less",
        "power, 99th percentile over time",
        "99th percentile over time of the power of the cards",
        quantity="power_w",
        statistic="p99",
        shown=Shown.TABLE,
        follows=Follows("power_w"),
    ),
    Metric(
        "tokens_per_joule", "tokens/J", "Energy efficiency", "에너지 효율", "Power and energy", "0.000", "more", "",
        "output tokens / joules of the cards",
        shown=Shown.BRIEF,
        interval=True,
        best=3,
        drawn=Drawn("tokens-per-joule-vs-users", "tokens per joule against users", "users", False, 5),
        follows=Follows("tokens_per_joule"),
        error_from=("output_tokens_per_s", "power_w_mean"),
        aliases=(Alias(PUBLISHED, "tokens_per_joule"),),
    ),
    # A new figure of a run: a row here, or where its column belongs.
    Metric(
        "kv_peak_fraction", "", "KV memory in use at peak", "KV 메모리 최대 사용률", "Memory and scheduling",
        "0.0%", "",
        "", "most KV blocks in use at once / blocks that fit beside weights and reserve",
        shown=Shown.TABLE,
        width=12,
    ),
    Metric(
        "users_in_service", "", "Most users in service", "동시 처리 최대 사용자 수", "Memory and scheduling", "#,##0",
        "more", "most users in service at once",
        "most requests that held KV memory at once: fewer than the users where memory or the runtime's limit binds",
        shown=Shown.TABLE,
        exact=True,
        strained="fewer",
    ),
    Metric(
        "preemptions", "", "Pre-emptions", "선점 횟수", "Memory and scheduling", "#,##0", "less", "",
        "times that a request lost its KV memory to another and was computed anew",
        shown=Shown.TABLE,
        exact=True,
        width=12,
        strained="any",
    ),
    Metric(
        "refused", "", "Refused requests", "거절된 요청 수", "Memory and scheduling", "#,##0", "less", "",
        "requests that the server never took",
        shown=Shown.TABLE,
        exact=True,
        strained="any",
    ),
    Metric("requests", "", "Requests served", "완료된 요청 수", "", "#,##0", shown=Shown.RUN, exact=True),
    Metric(
        "prefix_hit_fraction", "", "Prompt tokens found in the prefix cache", "프리픽스 캐시 적중률", "",
        "0.0%", "more",
        shown=Shown.RUN,
        exact=True,
    ),
    Metric(
        "duration_s", "s", "Duration", "실행 시간", "", "#,##0.0", "less",
        shown=Shown.RUN,
        error_from=("output_tokens_per_s",),
    ),
    *(
        Metric(
            f"steady_{name}", unit, f"{label}, steady", f"{korean}, 정상 상태", "", number, better,
            definition="while every user has a request to send",
            quantity=f"steady_{name}",
            shown=Shown.COMPARED,
        )
        for name, unit, label, korean, number, better in (
            ("output_tokens_per_s", "tokens/s", "Output throughput", "출력 처리량", "#,##0.0", "more"),
            ("power_w_mean", "W", "Power mean", "평균 전력", "#,##0.0", "less"),
            ("tokens_per_joule", "tokens/J", "Energy efficiency", "에너지 효율", "0.000", "more"),
        )
    ),
    Metric(
        "speed_p50", "tokens/s/user", "Speed per user, median", "사용자당 속도, 중앙값", "", "#,##0.00", "more",
        shown=Shown.COMPARED,
        inverse_of="tpot_ms_p50",
        aliases=(Alias(PUBLISHED, "tps_per_request_p50"),),
    ),
    Metric(
        "speed_clean", "tokens/s/user", "Speed per user without stalls", "정지 없는 사용자당 속도", "",
        "#,##0.00", "more",
        shown=Shown.COMPARED,
        inverse_of="itl_ms_p50",
        aliases=(Alias(PUBLISHED, "tps_clean"),),
    ),
    *(
        Metric(
            f"power_w_{samples}", "W", f"Power, {samples}", korean, "", "#,##0.0",
            shown=Shown.LAB,
            compared_with="power_w_mean",
        )
        for samples, korean in (("active", "전력, 작동 중 표본"), ("samples", "전력, 모든 표본"))
    ),
    Metric(
        "requests_per_s", "requests/s", "Request throughput", "요청 처리량", "", "#,##0.00", "more",
        shown=Shown.COMPARED,
        error_from=("output_tokens_per_s",),
        aliases=(
            Alias(VLLM, "request_throughput"), Alias(AIPERF, "request_throughput"),
            Alias(LOADGEN, "result_samples_per_second"), Alias(LOADGEN, "result_completed_samples_per_sec"),
        ),
    ),
)  # fmt: skip

ESTIMATES: tuple[Metric, ...] = (
    Metric("prefill_ms", "ms", "One prompt alone", "프롬프트 1개 처리 시간", "", "#,##0.0"),
    Metric("decode_ms", "ms", "Decode step at half the answer", "출력 절반 시점의 디코드 스텝", "", "#,##0.00"),
    Metric("output_tokens_per_s", "tokens/s", "Output throughput", "출력 처리량", "", "#,##0.0"),
    Metric("power_w", "W", "Power mean", "평균 전력", "", "#,##0.0"),
    Metric("tokens_per_joule", "tokens/J", "Energy efficiency", "에너지 효율", "", "0.000"),
    Metric("users_resident", "", "Requests that memory holds", "메모리 수용 요청 수", "", "#,##0"),
    Metric("area_proxy_mm2", "mm2", "Area proxy", "면적 추정 지표", "", "#,##0"),
    Metric("peak_fraction", "", "Part of peak arithmetic", "최대 연산성능 대비 비율", "", "0.000"),
    Metric("bandwidth_fraction", "", "Part of peak bandwidth", "최대 대역폭 대비 비율", "", "0.000"),
    Metric("cap_fraction", "", "Power over the cap", "전력 상한 대비 비율", "", "0.000"),
    *_with_range(Metric("area_mm2", "mm2", "Die area", "다이 면적", "", "#,##0")),
    *_with_range(Metric("die_cost_usd", "US$", "Die cost", "다이 비용", "", "#,##0")),
    *_with_range(Metric("package_cost_usd", "US$", "Package cost", "패키지 비용", "", "#,##0")),
    *(
        Metric(f"{name}_mj_per_token", "mJ/token", f"Energy per output token, {label}", korean, "", "0.000")
        for name, label, korean in (
            ("arithmetic", "arithmetic", "출력 토큰당 에너지, 연산"),
            ("sram", "SRAM", "출력 토큰당 에너지, SRAM"),
            ("noc", "network on the chip", "출력 토큰당 에너지, 칩 내부망"),
            ("dram", "DRAM", "출력 토큰당 에너지, DRAM"),
            ("pim", "PIM units", "출력 토큰당 에너지, PIM 연산기"),
            ("link", "links", "출력 토큰당 에너지, 링크"),
            ("static", "static and idle", "출력 토큰당 에너지, 정적·유휴"),
            ("conversion", "conversion losses", "출력 토큰당 에너지, 전력 변환 손실"),
        )
    ),
)  # fmt: skip

SEARCHES: tuple[Metric, ...] = (
    Metric(
        "users_at_slo", "", "Users at the SLO", "SLO 만족 최대 동시 사용자 수", "Throughput", "#,##0", "more",
        "most users within the limits",
        "most users of a closed loop (or a burst) for whom every latency of the SLO keeps its limit and no request is "
        "refused, found by bracketing; the same for all users of a shape",
        interval=True,
        width=12,
    ),
)  # fmt: skip
"""Figures that are found by a search over runs, where an SLO is told."""

_DEVICE = "On the device"
DEVICE: tuple[Metric, ...] = (
    Metric(
        "sustained_tpot_ms", "ms", "TPOT, sustained", "TPOT, 지속", _DEVICE, "#,##0.00", "less",
        "time per output token that cooling sustains",
        "mean TPOT once the chip's power limiter holds it to what the heat paths of `device.thermal` sustain",
        shown=Shown.TABLE,
        interval=True,
    ),
    Metric(
        "sustained_tokens_per_s", "tokens/s", "Output throughput, sustained", "출력 처리량, 지속", _DEVICE, "#,##0.0",
        "more", "output throughput that cooling sustains", "output tokens per second in that state",
        shown=Shown.TABLE,
        interval=True,
    ),
    Metric(
        "sustained_w", "W", "Power mean, sustained", "평균 전력, 지속", _DEVICE, "#,##0.00", "less",
        "power of the chip in that state", "mean power of the chip in that state: its burst's, or what is sustainable",
        interval=True,
    ),
    Metric(
        "sustainable_w", "W", "Sustainable power", "지속 가능 전력", _DEVICE, "#,##0.00", "more",
        "power of the chip that cooling sustains",
        "least over the heat paths of (limit - ambient) / resistance, less what else warms the path",
        interval=True,
    ),
    Metric(
        "throttles_after_s", "s", "Time until throttling", "스로틀링까지 시간", _DEVICE, "#,##0", "more",
        "time of lasting use until a limit is met, from rest",
        "least over the heat paths of R C ln((P - P0) / (P - P sustained)); blank where it never is, or is unknown",
        interval=True,
    ),
    Metric(
        "card_j_per_answer", "J", "Energy of an answer, card", "답변당 에너지, 카드", _DEVICE, "#,##0.0", "less", "",
        "joules of the card over answers, an answer asked alone",
        interval=True,
    ),
    Metric(
        "device_j_per_answer", "J", "Energy of an answer, device", "답변당 에너지, 단말", _DEVICE, "#,##0.0", "less",
        "",
        "the same, and `device.beside` for the time of an answer",
        interval=True,
    ),
    Metric(
        "answers_per_charge", "", "Answers of a charge", "1회 충전당 답변", _DEVICE, "#,##0", "more", "",
        "usable energy of the battery over the energy of an answer of the device",
        interval=True,
    ),
    Metric(
        "battery_h_continuous", "h", "Battery, continuous use", "배터리, 연속 사용", _DEVICE, "#,##0.0", "more",
        "hours of a charge, answering all the time",
        "usable energy over the power of the device that cooling sustains",
        interval=True,
    ),
    Metric(
        "battery_h_at_duty", "h", "Battery, everyday use", "배터리, 일상 사용", _DEVICE, "#,##0.0", "more",
        "hours of a charge, answering for the told part of the time",
        "the same at `device.duty`, the chip at rest for the other part of the time",
        interval=True,
    ),
)  # fmt: skip
"""Figures of the device around a chip that serves one user, where one is described."""

SPENT = tuple(row for row in ESTIMATES if row.unit == "mJ/token")
"""The energy of an output token by component, whose sum is that of the cards."""
RANGED = tuple(row.name.removesuffix("_low") for row in ESTIMATES if row.name.endswith("_low"))
"""Estimates that have the ends of their range beside them."""

PASSES: tuple[Metric, ...] = (
    Metric(
        "time_us", "us", "Time of a pass", "스텝 1회 시간", "", "#,##0.0",
        measured_as={DECODE: ("tpot_ms_mean", RUN), PREFILL: ("ttft_ms_mean", RUN), MIXED: ("time_us", PREFILL)},
    ),
    Metric("power_w", "W", "Power mean", "평균 전력", "", "#,##0.0"),
    Metric(
        "energy_j", "J", "Energy of a pass", "스텝 1회 에너지", "", "0.000",
        error_from=("time_us", "power_w_mean"),
    ),
)  # fmt: skip


PER_REQUEST = ("ttft_ms", "tpot_ms", "e2e_ms")
"""Latencies of which every request has one: a request has as many times between tokens as tokens but one."""
REPRESENTATIVE = ("output_tokens_per_s", "total_tokens_per_s", "tpot_ms_mean", "e2e_ms_mean", "ttft_ms_mean")
"""Figures that stand for a whole run, of which the first that is known is taken."""


def shown(least: Shown, most: Shown = Shown.BRIEF) -> tuple[Metric, ...]:
    """The figures of runs that are shown there, in the order of the table."""
    return tuple(row for row in METRICS if least <= row.shown <= most)
