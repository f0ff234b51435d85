"""Trains the codecs of `deepjscc.py` and writes their weights and cards beside it.

    CHANNELSIM_DATA=DIR .venv/bin/python scenarios/own/train_deepjscc.py --out FOLDER

DIR holds the colour subset, cifar10_subset.npz; FOLDER must exist. Without --out it replaces the
weights that are shipped. Those were trained in two rounds of 7 epochs with --bfloat16, about ten
seconds an epoch on an idle core: the plain codec (--only deepjscc), and then both from its weights
(--start FOLDER/deepjscc.safetensors). More epochs give more.
"""

import argparse
import hashlib
import platform
import time
from pathlib import Path

import torch
import yaml
from deepjscc import DeepJSCC, ToldDeepJSCC
from safetensors.torch import load_file, save

import channelsim

HERE = Path(__file__).parent
DATA, SEED, BATCH, RATE = "cifar10-subset", 7, 64, 1e-3
SNRS_DB = [0, 5, 10, 15, 20]  # at which a card states the quality
# As in the literature: the plain codec is trained at one SNR, its sibling over a range of them.
CODECS = {"deepjscc": (DeepJSCC, (10.0, 10.0)), "told_deepjscc": (ToldDeepJSCC, (0.0, 20.0))}


def received(codec, images, snr_db, generator, told_db=None):
    """Images through encoder, white noise at ``snr_db`` [N] and decoder."""
    side = [channelsim.Side.of(snr_db if told_db is None else told_db)] * codec.takes_snr
    latent = codec.encode(images, *side)
    noise = torch.randn(latent.shape, generator=generator)
    return codec.decode(latent + 10 ** (-snr_db[:, None] / 20) * noise, *side)


def train(name, images, epochs, bfloat16=False, start=None):
    """A codec, trained on mean squared error; ``start``: weights of either codec to start from."""
    cls, (low, high) = CODECS[name]
    torch.manual_seed(SEED)
    draws = torch.Generator().manual_seed(SEED)
    codec = cls()
    for gains in codec.gains:  # which all begin as 1
        torch.nn.init.zeros_(gains.outer.weight)
        torch.nn.init.zeros_(gains.outer.bias)
    if start is not None:
        codec.load_state_dict(load_file(start), strict=False)
    groups = [
        {"params": [value for name, value in codec.named_parameters() if "gains" not in name]},
        {"params": list(codec.gains.parameters())},
    ][: 1 + codec.takes_snr]
    rates = [2 * RATE, 10 * RATE][: len(groups)]
    steps = epochs * (len(images) // BATCH)
    optimiser = torch.optim.Adam(groups, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps)
    begun = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images), generator=draws)
        for rows in order[: len(images) // BATCH * BATCH].split(BATCH):
            some = images[rows]
            flipped = torch.rand(BATCH, generator=draws) < 0.5
            some = torch.where(flipped[:, None, None, None], some.flip(3), some)
            snr_db = low + (high - low) * torch.rand(BATCH, generator=draws)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                pictures = received(codec, some, snr_db, draws)
            loss = (pictures.float() - some).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        gone = time.monotonic() - begun
        left = gone / (epoch + 1) * (epochs - epoch - 1)
        psnr = -10 * torch.tensor(total / (len(images) // BATCH)).log10()
        print(
            f"{name}: epoch {epoch + 1} of {epochs}, {psnr:.2f} dB, {left / 60:.1f} min left",
            flush=True,
        )
    return codec, time.monotonic() - begun


@torch.no_grad()
def quality(codec, images, snr_db, told_db=None):
    """PSNR in dB of the mean squared error over images."""
    draws = torch.Generator().manual_seed(SEED + 1)
    errors = []
    for some in images.split(250):
        real = torch.full((len(some),), float(snr_db))
        told = None if told_db is None else torch.full_like(real, float(told_db))
        errors.append((received(codec, some, real, draws, told) - some).square().flatten(1).mean(1))
    return round(float(-10 * torch.cat(errors).mean().log10()), 2)


def card(name, codec, images, test, given, seconds, sha256):
    """The facts about weights that a reader wants."""
    low, high = CODECS[name][1]
    codec.eval()
    with torch.no_grad():
        some = test[:250]
        side = [channelsim.Side.of(torch.full((250,), 10.0))] * codec.takes_snr
        latent = codec.encode(some, *side)
        symbols = torch.view_as_complex(latent.reshape(250, -1, 2)).abs().square()
    command = f"python scenarios/own/train_deepjscc.py --only {name} --epochs {given.epochs}"
    command += " --bfloat16" * given.bfloat16
    begun = None
    if given.start is not None:
        command += f" --start {given.start.name}"
        begun = hashlib.sha256(given.start.read_bytes()).hexdigest()
    facts = {
        "sha256": sha256,
        "data": {
            "name": DATA,
            "split": "train",
            "train_images": len(images),
            "test_images": len(test),
            "train_sha256": hashlib.sha256(images.numpy().tobytes()).hexdigest(),
            "test_sha256": hashlib.sha256(test.numpy().tobytes()).hexdigest(),
        },
        "training": {
            "seed": SEED,
            "epochs": given.epochs,
            "start_sha256": begun,
            "batch": BATCH,
            "learning_rate": f"one cycle up to {2 * RATE}, of the gains {10 * RATE}",
            "loss": "mean squared error",
            "snr_db": low if low == high else [low, high],
            "minutes": round(seconds / 60, 1),
            "command": command,
        },
        "arithmetic": {
            "torch": str(torch.__version__),
            "processor": platform.machine(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "training": "bfloat16" if given.bfloat16 else "float32",
            "weights": "float16",
        },
        "latent_size": latent.shape[1],
        "papr_db": round(float((10 * (symbols.amax(1) / symbols.mean(1)).log10()).mean()), 2),
        "psnr_db": {snr: quality(codec, test, snr) for snr in SNRS_DB},
    }
    if codec.takes_snr:
        facts["psnr_db_told"] = {
            told: {snr: quality(codec, test, snr, told) for snr in SNRS_DB} for told in (0, 20)
        }
    return facts


def main():
    """Train, store, describe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--bfloat16", action="store_true", help="about half the time, if it can")
    parser.add_argument("--start", type=Path, help="weights of either codec to start from")
    parser.add_argument("--only", choices=CODECS, help="one of the two")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, test = (channelsim.images(DATA, split=split) for split in ("train", "test"))
    for name in [given.only] if given.only else CODECS:
        codec, seconds = train(name, images, given.epochs, given.bfloat16, given.start)
        content = save({key: value.half() for key, value in codec.state_dict().items()})
        file = given.out / f"{name}.safetensors"
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        stored = CODECS[name][0]()
        stored.load_state_dict(load_file(file))
        facts = card(name, stored, images, test, given, seconds, sha256)
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
        file.with_name(f"{name}.card.yaml").write_text(text, encoding="utf-8")
        print(f"{file}: {facts['psnr_db']}")


if __name__ == "__main__":
    main()
