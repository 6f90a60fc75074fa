"""Each row of `tutorials/from_pytorch_and_hf.md`, and the schedules of `from_keras.md`: what stands on the right trains
with the values of the left.

The left is called where its library is there (Keras; PyTorch on its backend). Elsewhere it is a formula, or numbers
that the library gave once: `golden/other_libraries.json`.
"""

import itertools
import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_sched
from keras_sched import ParamScheduler

TUTORIALS = Path(__file__).parents[1] / "tutorials"
PAGE = (TUTORIALS / "from_pytorch_and_hf.md").read_text(encoding="utf-8")
TABLES = re.findall(
    r"(?m)^\| (.+?) \| here \|\n\|[-|]+\|\n((?:\|.*\n)+)",
    PAGE + (TUTORIALS / "from_keras.md").read_text(encoding="utf-8"),
)
# {the library: {its code: (our code, how many n-ths of the highest rate it may be away; 0 for a relative 1e-5)}}
ROWS = {
    head.replace("`", ""): {
        re.findall(r"`(.+?)`", theirs)[0]: (
            re.findall(r"`(.+?)`", ours)[0],
            sum(map(int, re.findall(r"within `(\d+) / n`", ours))),
        )
        for theirs, ours in (row.strip("| ").split(" | ") for row in rows.splitlines())
    }
    for head, rows in TABLES
}
# What the letters of the tables stand for; a row with cycles of `k`, twice as long each, takes 7 of them.
EPOCHS = 5
LETTERS = {"lr": 0.1, "end": 0.001, "low": 0.01, "n": 50, "w": 5, "d": 10, "k": 7, "epochs": EPOCHS}
OTHERWISE = {
    "T_mult=2": {"k": 10, "n": 70},
    "CosineDecayRestarts": {"k": 10, "n": 70},
    "cycle_mul=2": {"k": 10, "n": 70},
    "(k, 2 * k, 4 * k)": {"k": 10, "n": 70},
    "w, n - w, 0.01": {"w": 10},
    "t_initial=epochs, warmup_t=w": {"w": 2},
}


def f(count):
    """Somebody's own function of a step or an epoch."""
    return 1 / (1 + 0.1 * count)


def letters_of(theirs):
    return LETTERS | next((other for part, other in OTHERWISE.items() if part in theirs), {})


@pytest.fixture(scope="module")
def train():
    """`train(library, theirs)` fits with what the page says on the right; {hyper-parameter: values}."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")

    def fit(library, theirs):
        letters = letters_of(theirs)
        names = {name: getattr(keras_sched, name) for name in keras_sched.__all__} | {"f": f}
        names["schedule"] = keras.optimizers.schedules.InverseTimeDecay(0.1, 3, 0.5)
        ours = eval(ROWS[library][theirs][0], names | letters)  # noqa: S307 - our own page
        if not isinstance(ours, keras.callbacks.Callback):
            ours = ParamScheduler(ours if isinstance(ours, dict) else {"lr": ours})
        samples = 2 * letters["n"] // EPOCHS
        model.fit(np.ones((samples, 3)), np.ones(samples), batch_size=2, epochs=EPOCHS, verbose=0, callbacks=[ours])
        return ours.hps

    return fit


def check(found, wanted, near, letters):
    assert len(found) == letters["n"]
    atol = near / letters["n"] * wanted.max() if near else 1e-9
    np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=0 if near else 1e-5, atol=atol)


# Formulas, as each library's documentation has them: step i -> what the rate is multiplied by.


def cosine(pos):
    return (1 + math.cos(math.pi * pos)) / 2


def triangle(i, k):
    return 1 - abs(i / k - 2 * math.floor(1 + i / (2 * k)) + 1)


def warmed(fall):
    """A linear rise over `w` steps, then a fall over the rest."""
    return lambda i, w, n: i / w if i < w else fall((i - w) / (n - w))


def formula(of, **fixed):
    """The values of a formula, which takes by name what it needs."""

    def values(letters):
        given = {**letters, **fixed}
        wanted = of.__code__.co_varnames[1 : of.__code__.co_argcount]
        return np.array([letters["lr"] * of(i, *(given[name] for name in wanted)) for i in range(letters["n"])])

    return values


def kept(library, number, of="lr"):
    """Numbers that the library gave."""
    return lambda golden: np.array(golden("other_libraries")["libraries"][library]["cases"][number][of])


def above(i, k, low, lr, scale):
    return low / lr + (1 - low / lr) * triangle(i, k) * scale(i, k)


TORCH = {
    "CosineAnnealingLR(opt, T_max=n)": formula(lambda i, n: cosine(i / n)),
    "CosineAnnealingLR(opt, T_max=n, eta_min=end)": formula(
        lambda i, n, end, lr: end / lr + (1 - end / lr) * cosine(i / n)
    ),
    "LinearLR(opt, start_factor=0.1, total_iters=w)": formula(lambda i, w: 0.1 + 0.9 * min(i / w, 1)),
    "ExponentialLR(opt, gamma=0.9)": formula(lambda i: 0.9**i),
    "StepLR(opt, step_size=n // 5, gamma=0.5)": formula(lambda i, n: 0.5 ** (i // (n // 5))),
    "MultiStepLR(opt, milestones=[20, 40], gamma=0.1)": formula(lambda i: 0.1 ** (i >= 20) * 0.1 ** (i >= 40)),
    "PolynomialLR(opt, total_iters=n, power=2)": formula(lambda i, n: (1 - i / n) ** 2),
    "LambdaLR(opt, f)": formula(f),
    "ConstantLR(opt, factor=1 / 3, total_iters=k)": formula(lambda i, k: 1 / 3 if i < k else 1),
    "CyclicLR(opt, low, lr, step_size_up=k, cycle_momentum=False)": formula(
        lambda i, k, low, lr: above(i, k, low, lr, lambda *_: 1)
    ),
    'CyclicLR(opt, low, lr, step_size_up=k, mode="triangular2", cycle_momentum=False)': formula(
        lambda i, k, low, lr: above(i, k, low, lr, lambda i, k: 0.5 ** (i // (2 * k)))
    ),
    'CyclicLR(opt, low, lr, step_size_up=k, mode="exp_range", gamma=0.95, cycle_momentum=False)': formula(
        lambda i, k, low, lr: above(i, k, low, lr, lambda i, k: 0.95**i)
    ),
    "SequentialLR(opt, [LinearLR(opt, 0.1, total_iters=w), CosineAnnealingLR(opt, n - w)], [w])": formula(
        lambda i, w, n: 0.1 + 0.9 * i / w if i < w else cosine((i - w) / (n - w))
    ),
    "CosineAnnealingWarmRestarts(opt, T_0=n // 5)": kept("torch", 3),
    "CosineAnnealingWarmRestarts(opt, T_0=k, T_mult=2)": kept("torch", 4),
    "CosineAnnealingWarmRestarts(opt, T_0=k, T_mult=2, eta_min=end)": formula(
        lambda i, k, end, lr: end / lr + (1 - end / lr) * restarts(i, k)
    ),
    "OneCycleLR(opt, lr, total_steps=n)": kept("torch", 0),
    "OneCycleLR(opt, lr, total_steps=n, three_phase=True)": kept("torch", 1),
    "OneCycleLR(opt, lr, total_steps=n, cycle_momentum=False)": kept("torch", 0),
    "OneCycleLR(opt, lr, total_steps=n, base_momentum=0.8, max_momentum=0.9)": kept("torch", 0),
    # It differs from the first one in the ends of its cosines alone.
    "OneCycleLR(opt, lr, total_steps=n, div_factor=10, final_div_factor=100)": formula(
        lambda i, n: one_cycle_of_torch(i, n, 0.1, 1e-3)
    ),
    'OneCycleLR(opt, lr, total_steps=n, anneal_strategy="linear")': formula(
        lambda i, n: one_cycle_of_torch(i, n, 1 / 25, 1 / 25e4, lambda pos: 1 - pos)
    ),
}


def by_epoch(of):
    """A formula of the epoch."""
    return formula(lambda i, n: of(i // (n // EPOCHS)))


TORCH_BY_EPOCH = {
    "LambdaLR(opt, f)": by_epoch(f),
    "StepLR(opt, step_size=2, gamma=0.5)": by_epoch(lambda epoch: 0.5 ** (epoch // 2)),
    "MultiStepLR(opt, milestones=[2, 4], gamma=0.1)": by_epoch(lambda epoch: 0.1 ** (epoch >= 2) * 0.1 ** (epoch >= 4)),
    "ExponentialLR(opt, gamma=0.9)": by_epoch(lambda epoch: 0.9**epoch),
    "CosineAnnealingLR(opt, T_max=epochs)": by_epoch(lambda epoch: cosine(epoch / EPOCHS)),
}


LOW = LETTERS["low"] / LETTERS["lr"]
TIMM_BY_EPOCH = {
    "CosineLRScheduler(opt, t_initial=epochs)": by_epoch(lambda epoch: cosine(epoch / EPOCHS)),
    "CosineLRScheduler(opt, t_initial=epochs, warmup_t=w, warmup_lr_init=low)": by_epoch(
        lambda epoch: LOW + (1 - LOW) * epoch / 2 if epoch < 2 else cosine(epoch / EPOCHS)
    ),
}


def restarts(i, k):
    """The cosine of cycles of k, 2 k and 4 k steps."""
    begins, length = next((b * k, (b + 1) * k) for b in (3, 1, 0) if i >= b * k)
    return cosine((i - begins) / length)


def one_cycle_of_torch(i, n, start, end, fall=cosine):
    top = 0.3 * n - 1
    if i <= top:
        return start + (1 - start) * (1 - fall(i / top))
    return end + (1 - end) * fall((i - top) / (n - 1 - top))


HUGGING_FACE = {
    "get_constant_schedule_with_warmup(opt, w)": formula(warmed(lambda pos: 1)),
    "get_linear_schedule_with_warmup(opt, w, n)": formula(warmed(lambda pos: 1 - pos)),
    "get_cosine_schedule_with_warmup(opt, w, n)": kept("transformers", 0),
    "get_cosine_with_hard_restarts_schedule_with_warmup(opt, w, n, num_cycles=3)": formula(
        warmed(lambda pos: cosine(3 * pos % 1))
    ),
    "get_polynomial_decay_schedule_with_warmup(opt, w, n, lr_end=end)": formula(
        warmed(lambda pos: 0.01 + 0.99 * (1 - pos))
    ),
    "get_polynomial_decay_schedule_with_warmup(opt, w, n, lr_end=end, power=2)": formula(
        warmed(lambda pos: 0.01 + 0.99 * (1 - pos) ** 2)
    ),
    "get_cosine_with_min_lr_schedule_with_warmup(opt, w, n, min_lr=end)": formula(
        warmed(lambda pos: 0.01 + 0.99 * cosine(pos))
    ),
    "get_inverse_sqrt_schedule(opt, w)": kept("transformers", 4),
    "get_wsd_schedule(opt, w, d, n)": formula(
        lambda i, w, n, d: i / w if i < w else 1 if i < n - d else cosine((i - n + d) / d)
    ),
    "get_wsd_schedule(opt, w, d, n, min_lr_ratio=end / lr)": formula(
        lambda i, w, n, d: 0.01 + 0.99 * (i / w if i < w else 1 if i < n - d else cosine((i - n + d) / d))
    ),
    'get_wsd_schedule(opt, w, d, n, decay_type="1-sqrt")': kept("transformers", 1),
    'TrainingArguments(lr_scheduler_type="cosine", warmup_ratio=0.1)': kept("transformers", 0),
}
TIMM = {
    "CosineLRScheduler(opt, t_initial=n)": formula(lambda i, n: cosine(i / n)),
    "CosineLRScheduler(opt, t_initial=n - w, warmup_t=w, warmup_prefix=True, lr_min=end)": kept("timm", 1),
    "CosineLRScheduler(opt, t_initial=n, warmup_t=w)": formula(lambda i, w, n: i / w if i < w else cosine(i / n)),
    "CosineLRScheduler(opt, t_initial=k, cycle_mul=2, cycle_decay=0.5, cycle_limit=3)": kept("timm", 0),
    "CosineLRScheduler(opt, t_initial=n - w, warmup_t=w, warmup_prefix=True, warmup_lr_init=low)": formula(
        lambda i, w, n: 0.1 + 0.9 * i / w if i < w else cosine((i - w) / (n - w))
    ),
    "PolyLRScheduler(opt, t_initial=n, power=2, lr_min=end)": kept("timm", 2),
}
OPTAX = {
    "linear_schedule(lr, end, n)": formula(lambda i, n: 1 - 0.99 * i / n),
    "cosine_decay_schedule(lr, n, alpha=0.1)": formula(lambda i, n: 0.1 + 0.9 * cosine(i / n)),
    "exponential_decay(lr, k, 0.5)": formula(lambda i, k: 0.5 ** (i / k)),
    "polynomial_schedule(lr, end, 2, n)": kept("optax", 7),
    "piecewise_constant_schedule(lr, {20: 0.1})": formula(lambda i: 0.1 ** (i >= 20)),
    "warmup_cosine_decay_schedule(0, lr, w, n)": kept("optax", 2),
    "warmup_cosine_decay_schedule(0, lr, w, n, end)": formula(warmed(lambda pos: 0.01 + 0.99 * cosine(pos))),
    "warmup_exponential_decay_schedule(0, lr, w, n - w, 0.01)": kept("optax", 6),
    "cosine_onecycle_schedule(n, lr)": kept("optax", 0),
    'sgdr_schedule([{"init_value": 0.0, "peak_value": lr, "warmup_steps": 0, "decay_steps": c}'
    " for c in (k, 2 * k, 4 * k)])": kept("optax", 4),
    "join_schedules([linear_schedule(0, lr, w), cosine_decay_schedule(lr, n - w)], [w])": kept("optax", 2),
}
KERAS = {
    "LearningRateScheduler(f)": formula(lambda i, n, lr: f(i // (n // EPOCHS)) / lr),
    "CyclicalLearningRate(low, lr, step_size=k, scale_fn=lambda x: 1.0)": formula(
        lambda i, k, low, lr: above(i, k, low, lr, lambda *_: 1)
    ),
    "Triangular2CyclicalLearningRate(low, lr, step_size=k)": formula(
        lambda i, k, low, lr: above(i, k, low, lr, lambda i, k: 0.5 ** (i // (2 * k)))
    ),
}
OF_KERAS = [of for of in ROWS["keras.optimizers.schedules"] if of != "schedule"]
LIBRARIES = {
    "torch.optim.lr_scheduler": TORCH,
    "torch.optim.lr_scheduler, stepped once an epoch": TORCH_BY_EPOCH,
    "transformers": HUGGING_FACE,
    "timm.scheduler": TIMM,
    "timm.scheduler, stepped once an epoch": TIMM_BY_EPOCH,
    "optax": OPTAX,
    "Keras, tensorflow_addons.optimizers": KERAS,
}


def test_every_row_of_the_page_is_compared():
    compared = {library: sorted(rows) for library, rows in LIBRARIES.items()}
    rows = {library: sorted(rows) for library, rows in ROWS.items() if any(re.match(r"\w+\(", row) for row in rows)}
    assert rows == compared | {"keras.optimizers.schedules": sorted(ROWS["keras.optimizers.schedules"])}
    assert len(OF_KERAS) == 12


@pytest.mark.parametrize(
    ("library", "theirs"), [(library, theirs) for library, rows in LIBRARIES.items() for theirs in rows]
)
def test_what_stands_on_the_right_trains_with_the_values_of_the_left(library, theirs, train, golden):
    letters, reference = letters_of(theirs), LIBRARIES[library][theirs]
    wanted = reference(golden) if reference.__qualname__.startswith("kept") else reference(letters)
    check(train(library, theirs)["lr"], wanted, ROWS[library][theirs][1], letters)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch itself, where it is there")
@pytest.mark.parametrize(
    ("library", "theirs"),
    [(library, theirs) for library, rows in LIBRARIES.items() if library.startswith("torch.") for theirs in rows],
)
def test_pytorchs_own_schedulers(library, theirs, train):
    import torch

    letters = letters_of(theirs)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=letters["lr"], momentum=0.9)
    schedulers = vars(torch.optim.lr_scheduler)
    scheduler = eval(theirs, {**schedulers, **letters, "opt": optimizer, "f": f})  # noqa: S307 - our own page
    steps = letters["n"] // EPOCHS if library.endswith("once an epoch") else 1
    rates, moms = [], []
    for batch in range(1, letters["n"] + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        moms.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if batch % steps == 0:
            scheduler.step()
    found, near = train(library, theirs), ROWS[library][theirs][1]
    check(found["lr"], np.array(rates), near, letters)
    if "mom" in found:
        np.testing.assert_allclose(found["mom"], moms, atol=near / letters["n"] * (max(moms) - min(moms)))


@pytest.mark.parametrize("theirs", OF_KERAS)
def test_keras_own_schedules(theirs, train):
    letters = letters_of(theirs)
    schedule = eval(theirs, vars(keras.optimizers.schedules) | letters)  # noqa: S307 - our own page
    found = train("keras.optimizers.schedules", theirs)["lr"]
    np.testing.assert_allclose(found, [float(schedule(i)) for i in range(len(found))], rtol=1e-5, atol=1e-8)


def test_any_other_schedule_of_keras(train):
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.1, 3, 0.5)
    values = [float(schedule(i)) for i in range(LETTERS["n"])]
    check(train("keras.optimizers.schedules", "schedule")["lr"], np.array(values), 0, LETTERS)


def test_keras_own_scheduler(train):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    by_keras = keras.callbacks.LearningRateScheduler(f)
    history = model.fit(np.ones((2, 3)), np.ones(2), epochs=EPOCHS, verbose=0, callbacks=[by_keras])
    found = train("Keras, tensorflow_addons.optimizers", "LearningRateScheduler(f)")["lr"]
    np.testing.assert_allclose(found, np.repeat(history.history["learning_rate"], 10), rtol=1e-6)


def test_keras_own_scheduler_with_a_function_of_the_rate():
    def halves(epoch, rate):
        return rate if epoch < 1 else rate / (1 + epoch)

    code = re.search(r"(?ms)^(def of_epochs.*?\n)\n\n", PAGE)
    names = {"accumulate": itertools.accumulate}
    exec(code[1], names)  # noqa: S102 - our own page
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    by_keras = keras.callbacks.LearningRateScheduler(halves)
    fit = {"batch_size": 2, "epochs": EPOCHS, "verbose": 0}
    history = model.fit(np.ones((6, 3)), np.ones(6), callbacks=[by_keras], **fit)
    ours = ParamScheduler({"lr": names["of_epochs"](halves, 0.1, EPOCHS)})
    model.fit(np.ones((6, 3)), np.ones(6), callbacks=[ours], **fit)
    np.testing.assert_allclose(ours.hps["lr"], np.repeat(history.history["learning_rate"], 3), rtol=1e-6)


def as_torch_counts(*arguments, **named):
    code = re.search(r"(?ms)^(def as_torch_counts.*?\n)\n\n", PAGE)
    names = {"one_cycle": keras_sched.one_cycle}
    exec(code[1], names)  # noqa: S102 - our own page
    return names["as_torch_counts"](*arguments, **named)


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize(
    "arguments",
    [
        *({"pct_start": pct} for pct in (0.1, 0.3, 0.5, 0.9)),
        *({"pct_start": p, "three_phase": True} for p in (0.1, 0.4)),
    ],
    ids=str,
)
def test_how_far_one_cycle_is_from_it(n, arguments):
    positions = np.arange(n) / n
    ours = keras_sched.one_cycle(1.0, div_final=25e4, **arguments)["lr"](positions)
    theirs = [as_torch_counts(n, 1.0, **arguments)["lr"](pos) for pos in positions]
    share = arguments["pct_start"]
    if "three_phase" in arguments:
        told, shortest = r"three phases `([\d.]+) / k`", min(share, 1 - 2 * share)
    else:
        told, shortest = r"at most `([\d.]+) / k`", min(share, 1 - share)
    most = float(re.search(told, PAGE)[1]) / (shortest * n)
    assert 0.2 * most < abs(ours - theirs).max() < most


def test_the_function_for_the_very_numbers_of_one_cycle_gives_them(golden):
    recipe = as_torch_counts(50, 0.1)
    for ours, theirs in (("lr", "lr"), ("mom", "momentum")):
        found = [recipe[ours](i / 50) for i in range(50)]
        np.testing.assert_allclose(found, kept("torch", 0, theirs)(golden), rtol=1e-5)
    recipe = as_torch_counts(50, 0.1, div=10)
    wanted = [0.1 * one_cycle_of_torch(i, 50, 1 / 10, 1 / 1e5) for i in range(50)]
    np.testing.assert_allclose([recipe["lr"](i / 50) for i in range(50)], wanted, rtol=1e-5)


def test_the_rounding_of_trainer_gives_its_number_of_batches():
    cure = re.search(r"or `warmup=(.+?)` where", PAGE)[1]
    for n, batches in ((50, 5), (51, 6), (59, 6)):
        assert eval(cure, {"math": math, "n": n}) == batches  # noqa: S307 - our own page
