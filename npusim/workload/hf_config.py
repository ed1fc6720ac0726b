"""Reads a Hugging Face `config.json` as a Model; the table of families says what the file does not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.ledger import Provenance, Quantity
from npusim.workload.attention_keys import read_mixers
from npusim.workload.checkpoint import Checkpoint
from npusim.workload.checkpoint_keys import read_checkpoint
from npusim.workload.class_defaults import defaults_of
from npusim.workload.config_file import ConfigFile
from npusim.workload.config_keys import is_harmless, read_keys, refuse_unread
from npusim.workload.families import FAMILIES, KEYS, SAME
from npusim.workload.family import Family, told
from npusim.workload.feed_keys import read_feeds
from npusim.workload.layers import Layer
from npusim.workload.model import Model
from npusim.workload.tower_keys import read_towers

_BILLION = 1e9
"""Parameters are published in billions."""
_INNER = ("text_config", "llm_config", "language_config", "thinker_config.text_config")
"""Objects in which a model that also sees or hears describes its language model."""
_OTHERS = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "deberta", "deberta-v2", "electra", "modernbert", "albert", "distilbert",
         "mpnet", "nomic_bert", "clip", "siglip", "vit", "wav2vec2"),
        "an encoder, which generates no tokens",
    ),
    **dict.fromkeys(("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "m2m_100", "whisper", "t5gemma"),
                    "an encoder with a decoder, which npusim does not predict"),
    **dict.fromkeys(("llada", "dream", "sdar", "diffusion_gemma", "stable-diffusion", "flux"),
                    "a diffusion model, which does not generate token by token"),
    **dict.fromkeys(("mllama", "mllama_text_model", "idefics", "evolla"),
                    "a model whose layers attend images (cross_attention_layers), which npusim does not predict"),
    **dict.fromkeys(("rwkv", "rwkv5", "rwkv6", "rwkv7", "xlstm", "recurrent_gemma", "retnet"),
                    "a recurrent network of a kind that npusim does not predict"),
}  # fmt: skip
"""Models that are no decoders, by `model_type`."""
_OWN_KEYS = ("title", "aliases", "published_parameters_b", "published_active_b", "source", "notes", "assumptions",
             "expert_skew", "harmless")  # fmt: skip
_MOST_LAYERS, _MOST_PARAMETERS, _MOST_BILLIONS = 10_000, 10**15, 10**6
"""Beyond these a model is mistaken."""
_PER_LAYER = "hidden_size_per_layer_input"
_LATENT_KEYS = ("kv_lora_rank",)
_EXPERT_KEYS = ("num_experts", "moe_intermediate_size")


@dataclass(frozen=True)
class NpusimKey:
    """The `npusim` key of a shipped file: what a config.json does not hold."""

    title: str
    aliases: tuple[str, ...]
    published_parameters: float | None
    published_active: float | None
    source: str
    notes: tuple[str, ...]
    harmless: tuple[str, ...]


def read_model(path: Path, name: str, as_family: str = "") -> Model:
    """The model of the config.json at `path`, called `name`. Raises UserError naming file and key.

    as_family: the family whose layers it has, "" for the one that the file names.
    """
    config, family_name = _of_family(_language_part(ConfigFile(path)), as_family)
    family = FAMILIES[family_name]
    about = read_description(config, name)
    hidden = config.size("hidden_size")
    layers, checkpoint = _stored(config, family, hidden, _layers(config, family, hidden))
    model = Model(
        name=name,
        title=about.title,
        family=family_name,
        hidden=hidden,
        vocab=config.size("vocab_size"),
        max_context=config.size("max_position_embeddings"),
        tied_embeddings=config.flag("tie_word_embeddings"),
        layer_kinds=layers,
        vectors=_vectors(config, family, hidden),
        lookups=_lookups(config, family, hidden, len(layers)),
        front=_front(config, hidden, len(layers)),
        towers=read_towers(config),
        predictors=config.whole("num_nextn_predict_layers"),
        checkpoint=checkpoint,
        published_parameters=about.published_parameters,
        published_active=about.published_active,
        assumptions=_assumptions(config, name),
        source=about.source,
        notes=(*about.notes, *_class_note(config)),
    )
    refuse_unread(config, (*family.unused, *about.harmless))
    if model.parameters > _MOST_PARAMETERS:
        raise config.mistake("", f"describes {model.parameters:.3g} parameters, more than any machine holds")
    return model


def _layers(config: ConfigFile, family: Family, hidden: int) -> tuple[Layer, ...]:
    """Every layer of the model, in order."""
    listed = config.get("layers_block_type")
    if config.get("num_hidden_layers") is None and isinstance(listed, list) and 0 < len(listed) <= _MOST_LAYERS:
        layers = len(listed)
    else:
        layers = config.size("num_hidden_layers", _MOST_LAYERS) * family.halves
    mixers, feeds = read_mixers(config, family, layers), read_feeds(config, family, layers)
    further = family.further_norms
    further = 2 * config.flag(further) if isinstance(further, str) else further
    norms, parallel = _norms(config, family), told(config, family.parallel)
    config.get("num_attention_heads")
    vectors = (norms + further) * family.norm_vectors * hidden
    side = sum(config.whole(key) for key in family.side)
    beside = family.beside(config) if family.beside else None
    streams = config.size(family.streams) if family.streams else 0
    return tuple(
        Layer(mixer, feed, norms, further, vectors, parallel, beside, side, streams)
        for mixer, feed in zip(mixers, feeds, strict=True)
    )


def _stored(
    config: ConfigFile, family: Family, hidden: int, layers: tuple[Layer, ...]
) -> tuple[tuple[Layer, ...], Checkpoint | None]:
    """The layers with the formats of their parts, and the checkpoint's own."""
    sizes = {layer: layer.role_parameters(hidden) for layer in set(layers)}
    checkpoint, formats = read_checkpoint(config, lambda at: sizes[layers[at]], len(layers), family.modules)
    made = {pair: pair[0]._replace(formats=pair[1]) for pair in set(zip(layers, formats, strict=True))}
    return tuple(made[pair] for pair in zip(layers, formats, strict=True)), checkpoint


def _norms(config: ConfigFile, family: Family) -> int:
    """Norms of a layer: parallel parts of Falcon and StableLM share one, or have one each, as the file says."""
    if family.norms_key and config.get(family.norms_key) is not None:
        return config.size(family.norms_key, 2)
    if family.shared_norm and told(config, family.parallel):
        return 2 if config.flag("new_decoder_architecture") else 1
    return family.norms


def _vectors(config: ConfigFile, family: Family, hidden: int) -> int:
    """Parameters beside layers, embedding and head: last norm, norms of the embedding, the head's bias."""
    norms = (1 + family.embedding_norms) * family.norm_vectors
    return norms * hidden + told(config, family.head_bias) * config.size("vocab_size")


def _lookups(config: ConfigFile, family: Family, hidden: int, layers: int) -> int:
    """Parameters of learned positions, and of the embeddings that Gemma 3n and 4 have for each layer."""
    rows = config.size(family.positions) + family.offset if family.positions else 0
    return rows * hidden + config.whole("vocab_size_per_layer_input") * layers * config.whole(_PER_LAYER)


def _front(config: ConfigFile, hidden: int, layers: int) -> int:
    """Columns of products of the embedding: inputs of each layer, and copies that are made and joined again (AltUp)."""
    copies = config.whole("altup_num_inputs")
    return layers * config.whole(_PER_LAYER) + 2 * hidden * max(0, copies - 1)


def _language_part(config: ConfigFile) -> ConfigFile:
    """The file, of which the object that describes the language model is read first where there is one."""
    found = next((key for key in _INNER if isinstance(config.get(key), dict)), None)
    return config if found is None else config.within(found)


def _of_family(config: ConfigFile, as_family: str) -> tuple[ConfigFile, str]:
    """The file under its family's spellings and defaults, and the family's name; its keys are checked."""
    if config.get("is_encoder_decoder"):
        raise config.mistake("is_encoder_decoder", "is true: npusim predicts models that are decoders alone")
    name = _told_family(as_family) if as_family else _named_family(config)
    family = FAMILIES[name]
    config = config.spelled({**KEYS, **family.keys}, {**family.defaults, **_untold(config)})
    _check_keys(config)
    for keys, has, kind in (
        (_LATENT_KEYS, family.latent, "multi-head latent attention (MLA)"),
        (_EXPERT_KEYS, family.routed, "a mixture of experts"),
    ):
        key = next((key for key in keys if config.get(key)), None)
        if key is not None and not has:
            raise config.mistake(key, f"is a key of {kind}, which models of type {name} do not have; give their type")
    return config, name


def _untold(config: ConfigFile) -> dict[str, int | bool]:
    """Sizes that an object within the file need not tell, as those of its class; a file itself has to tell them."""
    return defaults_of(config.own().get("model_type")) if config.is_within else {}


def _class_note(config: ConfigFile) -> tuple[str, ...]:
    """The sizes that were taken from the class, since the file does not tell them."""
    own = _untold(config)
    taken = ", ".join(f"{key} {value}" for key, value in config.taken().items() if own.get(key) == value)
    return (f"sizes of its class that the file leaves out: {taken}",) if taken else ()


def _told_family(name: str) -> str:
    word = name.lower().replace("-", "_")
    found = next(
        (SAME.get(spelling, spelling) for spelling in (name, word) if SAME.get(spelling, spelling) in FAMILIES), None
    )
    if found is None:
        near = difflib.get_close_matches(word, (*FAMILIES, *SAME), n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(FAMILIES)}"
        raise UserError("--as", name, f"no such family of models; {mend}")
    return found


def _named_family(config: ConfigFile) -> str:
    """The family that model_type or architectures name, those of the language model first. Raises UserError."""
    types = [config.own().get("model_type"), config.get("model_type"), config.outer("model_type")]
    for given in types:
        if isinstance(given, str):
            word = given.lower().replace("-", "_")
            for spelling in (given, word, word.removesuffix("_text"), word.removesuffix("_vl")):
                found = SAME.get(spelling, spelling)
                if found in FAMILIES:
                    return found
    classes = [name for listed in (config.get("architectures"), config.outer("architectures")) for name in listed or ()]
    for name, family in FAMILIES.items():
        if any(known in classes for known in family.architectures):
            return name
    raise _unknown_family(config, types[1], classes)


def _unknown_family(config: ConfigFile, model_type: Any, classes: list[Any]) -> UserError:
    known = ", ".join(FAMILIES)
    if isinstance(model_type, str) and model_type.lower() in _OTHERS:
        return config.mistake("model_type", f"'{model_type}' is {_OTHERS[model_type.lower()]}")
    key, given = ("model_type", model_type) if model_type is not None else ("architectures", (classes or [None])[0])
    if given is None:
        return config.mistake("model_type", f"this key is missing; add one of: {known}")
    mend = "--as takes it for one whose layers are alike"
    return config.mistake(key, f"unknown model family '{str(given)[:60]}'; {mend}; known: {known}")


def _check_keys(config: ConfigFile) -> None:
    """Raises UserError for a key that is misspelt: a key that npusim overlooked would make it another model."""
    config.refuse_near_misses(read_keys(), is_harmless)
    own = config.get("npusim")
    if isinstance(own, dict):
        config.refuse_near_misses(_OWN_KEYS, lambda key: False, "npusim")
        strange = next((key for key in own if key not in _OWN_KEYS), None)
        if strange is not None:
            raise config.mistake(f"npusim.{strange}", f"unknown key; known: {', '.join(_OWN_KEYS)}")


def _assumptions(config: ConfigFile, name: str) -> tuple[Provenance, ...]:
    """`npusim.assumptions`: keys of the file that were not found, with low, high and the reason for the value."""
    given = (config.get("npusim") or {}).get("assumptions", {})
    if not isinstance(given, dict):
        raise config.mistake("npusim.assumptions", "must be an object of keys, each with low, high and reason")
    made = []
    for key, words in given.items():
        if not isinstance(words, dict) or set(words) != {"low", "high", "reason"}:
            raise config.mistake(f"npusim.assumptions.{key}", "must give low, high and reason")
        value, low, high = config.size(key), words["low"], words["high"]
        if not (type(low) is int and type(high) is int and low <= value <= high):
            raise config.mistake(f"npusim.assumptions.{key}", f"low and high must enclose {value}")
        quantity = Quantity(
            value=value, unit="", kind="assumed", source=str(words["reason"]), low=low, high=high, text=str(value)
        )
        made.append(Provenance(name, key, quantity))
    return tuple(made)


def read_description(config: ConfigFile, name: str) -> NpusimKey:
    """The `npusim` key; a file without one is titled by its name and is its own source."""
    given = config.get("npusim") or {}
    if not isinstance(given, dict):
        raise config.mistake("npusim", "must be an object, e.g. with title and source")
    return NpusimKey(
        title=_text(config, given, "title", name),
        aliases=_texts(config, given, "aliases"),
        published_parameters=_billions(config, given, "published_parameters_b"),
        published_active=_billions(config, given, "published_active_b"),
        source=_text(config, given, "source", str(config.path)),
        notes=_texts(config, given, "notes"),
        harmless=_texts(config, given, "harmless"),
    )


def _billions(config: ConfigFile, given: dict[str, Any], key: str) -> float | None:
    billions = given.get(key)
    if billions is None:
        return None
    valid = isinstance(billions, int | float) and not isinstance(billions, bool)
    if not (valid and 0 < billions < _MOST_BILLIONS):
        raise config.mistake(f"npusim.{key}", f"'{billions}' is not a positive number")
    return round(billions * _BILLION)


def _text(config: ConfigFile, given: dict[str, Any], key: str, default: str) -> str:
    value = given.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise config.mistake(f"npusim.{key}", "must be a text")
    return value


def _texts(config: ConfigFile, given: dict[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise config.mistake(f"npusim.{key}", "must be a list of texts")
    return tuple(value)
