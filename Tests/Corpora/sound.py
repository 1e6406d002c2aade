"""Compares what gemma4 hears of other projects' sound files with what soundfile and ffmpeg decode of them.

Usage: sound.py [--program .build/release/gemma4] [--work .build-corpora] [file or folder ...]

Without files: the source packages of soundfile and mutagen (PyPI), taglib and flac (Debian), whose tests hold recordings
of every kind, whole and broken. README.md says what differs, and why.

A file counts as equal if the soft tokens of its sound are those of the reference's: libsndfile's or ffmpeg's samples,
mixed to one channel and brought to 16 kHz by soxr. Files that neither reads must be refused with one of our messages.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import numpy
import soundfile
import soxr

PYPI = ["soundfile", "mutagen"]
DEBIAN = ["taglib", "flac"]
SOUND = {
    ".wav", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3",
    ".mp2", ".mp1", ".m4a", ".m4b", ".mp4", ".3gp", ".3g2", ".aac", ".ac3", ".wma", ".asf", ".wv", ".ape", ".mpc", ".tta",
    ".dsf", ".dff", ".mka", ".mkv", ".webm", ".avi", ".xm", ".ofr", ".amr", ".mid", ".eac3", ".ogv", ".ofs",
}
# The most that two correct decoders' soft tokens differ by: MP3 and Vorbis differ in the last bit of their samples.
TOLERANCE = 2e-2
RATE = 16_000


def run(*command, **options):
    return subprocess.run(command, capture_output=True, timeout=120, **options)


def fetch(work):
    """Downloads and unpacks the packages, once."""
    for name in PYPI:
        folder = work / name
        if not folder.exists():
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
                 "-d", str(folder), name], check=True)
    apt = None
    for name in DEBIAN:
        folder = work / name
        if not folder.exists():
            apt = apt or sources(work / "apt")
            folder.mkdir(parents=True)
            subprocess.run(["apt-get", "-qq", *apt, "source", "--download-only", name], cwd=folder, check=True)
    for archive in sorted(work.glob("*/*")):
        target = archive.with_name(archive.name + ".files")
        if archive.is_dir() or target.exists():
            continue
        if tarfile.is_tarfile(archive):
            tarfile.open(archive).extractall(target, filter="data")
        elif zipfile.is_zipfile(archive):
            zipfile.ZipFile(archive).extractall(target)


def sources(folder):
    """Options for apt-get under which it knows source packages, with lists of its own."""
    folder = folder.absolute()
    for part in ["sources.list.d", "lists/partial"]:
        (folder / part).mkdir(parents=True, exist_ok=True)
    system = pathlib.Path("/etc/apt")
    for file in [system / "sources.list", *(system / "sources.list.d").glob("*")]:
        if file.is_file():
            text = re.sub(r"^(Types:|)( *)deb\b(?!-src)", r"\1\2deb-src", file.read_text(), flags=re.MULTILINE)
            (folder / "sources.list.d" / file.name).write_text(text)
    options = ["-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={folder}/sources.list.d",
               "-o", f"Dir::State::Lists={folder}/lists"]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    return options


def files(paths):
    for path in paths:
        if path.is_file():
            yield path
        else:
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SOUND and p.is_file())


def reference(path):
    """Mono samples at 16 kHz, and who decoded them; nothing if nobody does."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return soxr.resample(samples.mean(axis=1), rate, RATE), "soundfile"
    except Exception:
        pass
    probe = run("ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "stream=sample_rate,channels", "-of", "json",
                f"file:{path}")
    try:
        streams = json.loads(probe.stdout).get("streams", [])
    except ValueError:  # it stops in the middle of what it prints
        streams = []
    if not streams or not streams[0].get("channels"):
        return None, "nobody"
    rate, channels = int(streams[0]["sample_rate"]), int(streams[0]["channels"])
    done = run("ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-map", "0:a:0", "-f", "f32le", "-c:a",
               "pcm_f32le", "-")
    samples = numpy.frombuffer(done.stdout, dtype="<f4").reshape(-1, channels).mean(axis=1)
    return (soxr.resample(samples, rate, RATE), "ffmpeg") if len(samples) else (None, "nobody")


def tokens(program, path, out):
    """The soft tokens of a file, or what the program says against it."""
    done = run(program, "embed", "--soft-tokens", "--audio", str(path), "-o", str(out))
    messages = done.stderr.decode(errors="replace")
    if done.returncode < 0 or done.returncode > 127:
        raise SystemExit(f"{path}: the program ended by signal {done.returncode}\n{messages}")
    bare = [line for line in messages.splitlines() if not line.startswith("gemma4: ")]
    if bare:
        raise SystemExit(f"{path}: a message of someone else reached the terminal: {bare[0]}")
    return (numpy.load(out), "") if done.returncode == 0 else (None, messages.strip().splitlines()[-1])


def compare(program, path, folder):
    """One word for what became of a file, and the details."""
    expected, reader = reference(path)
    ours, message = tokens(program, path, folder / "ours.npy")
    if expected is None or len(expected) < RATE // 50:
        return ("refused by all" if ours is None else "heard by us alone"), message
    if ours is None:
        cut = "expected a whole recording, found" in message or "that do" in message
        return ("refused as cut or damaged" if cut else "refused"), f"{reader} reads {len(expected) / RATE:.2f} s; {message}"
    # 16 kHz and floats pass through the program as they are.
    soundfile.write(folder / "reference.wav", expected, RATE, subtype="FLOAT")
    theirs, message = tokens(program, folder / "reference.wav", folder / "theirs.npy")
    if theirs is None:
        return "refused", message
    if theirs.shape != ours.shape:
        return "of another length", f"{reader}: {len(expected) / RATE:.2f} s; {ours.shape[0]} and {theirs.shape[0]} tokens"
    difference = float(numpy.abs(ours - theirs).max()) if ours.size else 0
    return ("equal" if difference < TOLERANCE else "different"), f"{reader}: {difference:.2g}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--work", default=".build-corpora", type=pathlib.Path)
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    if not arguments.paths:
        arguments.work.mkdir(exist_ok=True)
        fetch(arguments.work)
        arguments.paths = [arguments.work / name for name in PYPI + DEBIAN]
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in files(arguments.paths):
            word, details = compare(program, path.resolve(), pathlib.Path(folder))
            counts[word] = counts.get(word, 0) + 1
            if word != "equal":
                print(f"{word}: {path}: {details}", flush=True)
    for word, count in sorted(counts.items()):
        print(f"{count} {word}")


main()
