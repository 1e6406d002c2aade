"""Runs what Sources/Gemma4Server/Deployment holds, as far as this machine has the programs for it.

    python deployment.py --program gemma4 [nginx systemd docker kubernetes slurm parallel ray]

Needs requirements.txt. Every check leaves out, and says so, what is not installed: nginx-light, systemd, strace, slurm-wlm, munge,
parallel, openssh-server. Nothing is left running.
"""

import argparse
import concurrent.futures
import contextlib
import getpass
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "Sources/Gemma4Server/Deployment"
MODEL = ROOT / "Tests/Goldens/E2B/checkpoint"
SOUND = ROOT / "Tests/Goldens/attachments/chirp.wav"
PYTHON = pathlib.Path(sys.executable).parent


class Missing(Exception):
    """A program that is not installed."""


def find(name: str) -> str:
    path = shutil.which(name, path=f"{PYTHON}:{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        raise Missing(name)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what: str, is_so, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@contextlib.contextmanager
def running(call: list, log: pathlib.Path, **options):
    """A program in the foreground, ended with the block."""
    with open(log, "ab") as file:
        process = subprocess.Popen([str(word) for word in call], stdout=file, stderr=file, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# MARK: A balancer


def ask(port: int, tokens: int, streams: bool, on_chunk=lambda: None, shows_all: bool = True) -> bool:
    """Whether an answer came whole. With its log-probability every token is shown, also one without text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"messages": [{"role": "user", "content": "one"}], "max_tokens": tokens, "ignore_eos": True, "temperature": 0}
    body |= {"stream": streams, "logprobs": shows_all}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return False
        if not streams:
            return json.loads(response.read())["usage"]["completion_tokens"] == tokens
        whole = b""
        while chunk := response.read1():
            whole += chunk
            on_chunk()
        return whole.endswith(b"data: [DONE]\n\n")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def check_nginx(program: str, folder: pathlib.Path) -> str:
    nginx = find("nginx")
    ports = {port: free_port() for port in (8080, 8081, 8082)}
    text = (FILES / "nginx.conf").read_text()
    for port, own in ports.items():
        assert f"127.0.0.1:{port}" in text
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")
    (folder / "nginx.conf").write_text(text)
    front = ports[8080]
    with contextlib.ExitStack() as stack:
        call = [program, "serve", "--model", MODEL, "--log", "json", "--threads", "1", "--port"]
        first, second = (
            stack.enter_context(running([*call, ports[port]], folder / f"{port}.log")) for port in (8081, 8082)
        )
        until("the servers listen", lambda: listens(ports[8081]) and listens(ports[8082]))
        stack.enter_context(
            running([nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], folder / "nginx.log")
        )
        until("nginx listens", lambda: listens(front))
        return balance(front, ports, first, second)


def answered(port: int) -> int:
    """How many requests for an answer an instance has had, by its own count."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    return int(sum(float(line.split()[-1]) for line in lines if "/v1/chat/completions" in line))


def balance(front: int, ports: dict, first, second) -> str:
    # The first event is there long before the last one, and does not wait for more to fill a buffer.
    times: list[float] = []
    begun = time.monotonic()
    assert ask(front, 2000, True, lambda: times.append(time.monotonic() - begun), shows_all=False)
    assert times[0] < times[-1] / 2, f"the answer came in one piece: {times}"
    # The one that is busy gets no more while the other is free.
    before = [answered(ports[8081]), answered(ports[8082])]
    has_begun = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, front, 5000, True, has_begun.set)
        assert has_begun.wait(60) and all(ask(front, 5, False) for _ in range(6)) and not long.done()
        shares = sorted(answered(ports[port]) - count for port, count in zip((8081, 8082), before))
        assert shares == [0, 6], f"not to the one with the fewest: {shares}"
        assert long.result()

    # Eight clients ask without a pause; after a while one instance dies.
    outcomes: list[tuple[float, float, bool]] = []
    ends = threading.Event()

    def client(index: int) -> None:
        while not ends.is_set():
            begun = time.monotonic()
            whole = ask(front, 60, index % 2 == 0)
            outcomes.append((begun, time.monotonic(), whole))

    clients = [threading.Thread(target=client, args=[index]) for index in range(8)]
    for thread in clients:
        thread.start()
    until("answers come", lambda: len(outcomes) > 20)
    killed = time.monotonic()
    second.send_signal(signal.SIGKILL)
    second.wait()
    gone = time.monotonic()
    until("answers go on", lambda: sum(begun > gone for begun, _, _ in outcomes) > 60)
    ends.set()
    for thread in clients:
        thread.join()
    before = [whole for _, end, whole in outcomes if end < killed]
    flying = [whole for begun, end, whole in outcomes if begun <= gone and end >= killed]
    after = [whole for begun, _, whole in outcomes if begun > gone]
    assert all(before), "an answer failed while both instances were well"
    assert not all(flying), "no answer was lost with its instance: nothing was in flight"
    assert any(flying), "answers of the other instance were lost too"
    assert all(after), f"{after.count(False)} of {len(after)} answers failed after the instance was gone"
    # What cannot be balanced says so.
    connection = http.client.HTTPConnection("127.0.0.1", front, timeout=10)
    connection.request("GET", "/v1/files")
    response = connection.getresponse()
    assert response.status == 501 and json.loads(response.read())["error"]["message"], "files"
    connection.close()
    return (
        f"{len(before)} answers by two instances; of {len(flying)} in flight {flying.count(False)} lost with the killed one; "
        f"all {len(after)} after it whole"
    )


# MARK: One machine


def check_systemd(program: str, folder: pathlib.Path) -> str:
    unit = FILES / "gemma4@.service"
    security = subprocess.run(
        [find("systemd-analyze"), "security", "--offline=yes", "--threshold=15", "--no-pager", unit], capture_output=True, text=True
    )
    level = re.search(r"exposure level.*: ([\d.]+)", security.stdout)
    assert security.returncode == 0 and level, security.stdout[-200:] + security.stderr
    # A copy with the program where it is: what is left are mistakes in the unit.
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("/usr/local/bin/gemma4", str(program)))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if "gemma4@" in line]
    assert not complaints, "\n".join(complaints)
    return f"exposure {level[1]} of 10; {check_system_calls(program, folder)}"


def check_system_calls(program: str, folder: pathlib.Path) -> str:
    """Whether a server makes a system call that the unit's filter refuses."""
    allowed: set[str] = set()
    for line in (FILES / "gemma4@.service").read_text().splitlines():
        if line.startswith("SystemCallFilter="):
            names = line.partition("=")[2]
            for group in names.lstrip("~").split():
                calls = expand(group)
                allowed = allowed - calls if names.startswith("~") else allowed | calls
    try:
        strace = find("strace")
    except Missing:
        return "system calls: left out, no strace"
    port, trace = free_port(), folder / "trace"
    call = [strace, "-f", "-qq", "-o", trace, program, "serve", "--model", MODEL, "--port", port, "--log", "json"]
    with running(call, folder / "strace.log") as process:
        until("the server listens", lambda: listens(port))
        assert ask(port, 20, True) and ask(port, 20, False)
        boundary = "cut"
        form = b"".join(
            [
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode(),
                SOUND.read_bytes(),
                f"\r\n--{boundary}--\r\n".encode(),
            ]
        )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        header = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        connection.request("POST", "/v1/audio/transcriptions", form, header)
        assert connection.getresponse().status == 200
        connection.close()
        traced = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(traced[0]), signal.SIGTERM)
        process.wait(timeout=60)
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(errors="replace"), re.MULTILINE))
    assert len(used) > 30, f"strace saw {len(used)} calls"
    refused = sorted(used - allowed - {"execve", "resumed"})
    assert not refused, f"system calls outside the filter: {refused}"
    return f"{len(used)} system calls, all within the filter"


def expand(group: str) -> set[str]:
    """The system calls of a name such as @system-service."""
    if not group.startswith("@"):
        return {group}
    text = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True).stdout
    names = [line.strip() for line in text.splitlines()[1:]]
    return set().union(*(expand(name) for name in names if name and not name.startswith("#")))


def check_docker(program: str, folder: pathlib.Path) -> str:
    dockerfile = FILES / "Dockerfile"
    subprocess.run([find("hadolint"), dockerfile], check=True)
    # Libraries that the program loads belong to packages of the last stage, or to what these depend on.
    last = dockerfile.read_text().rpartition("\nFROM ")[2]
    packages = re.search(r"--no-install-recommends((?: |\\\n|[\w.+-])+)", last)[1].replace("\\\n", " ").split()
    loaded = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    paths = [os.path.realpath(path) for path in re.findall(r"=> (/\S+)", loaded)]
    system = [path for path in paths if path.startswith(("/usr/lib/x86", "/lib/x86", "/usr/lib/aarch", "/lib/aarch"))]
    owners = set()
    for path in system:
        found = subprocess.run(["dpkg", "-S", "*" + path.removeprefix("/usr")], capture_output=True, text=True).stdout
        owners.add(found.partition(":")[0])
    owners.discard("")
    depends = subprocess.run(
        ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
         "--no-enhances", *packages], check=True, capture_output=True, text=True
    ).stdout
    brought = set(packages) | set(re.findall(r"Depends: <?([\w.+-]+)", depends))
    # Swift's own image has what its libraries need.
    missing = {owner for owner in owners if owner not in brought and not owner.startswith(("libc6", "libgcc", "libstdc++"))}
    assert not missing, f"the image lacks {sorted(missing)}"
    # Swift's package manager wants every target's folder to be there, also of tests that are not built.
    context = folder / "context"
    context.mkdir()
    rules = (FILES / "Dockerfile.dockerignore").read_text().split()
    left_out = shutil.ignore_patterns(*(pathlib.Path(rule).name for rule in rules if rule[0] not in "!*"))
    for names in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile.read_text(), re.MULTILINE):
        for name in names.split():
            assert f"!{name}" in rules, f"{name} is not in the context"
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, context / name, ignore=left_out)
            else:
                shutil.copy(ROOT / name, context / name)
    package = json.loads(
        subprocess.run([find("swift"), "package", "--package-path", context, "dump-package"], check=True, capture_output=True).stdout
    )
    for target in package["targets"]:
        path = target.get("path") or ("Tests/" if target["type"] == "test" else "Sources/") + target["name"]
        assert (context / path).is_dir(), f"the context lacks {path}"
    return f"linted; {len(owners)} packages of libraries, none missing; no image was built"


def check_kubernetes(program: str, folder: pathlib.Path) -> str:
    import yaml

    validate = find("kubernetes-validate")
    manifests = [FILES / "kubernetes.yaml", FILES / "corpus-kubernetes.yaml"]
    versions = ["1.29.0", None]
    for version in versions:
        call = [validate, "--strict", *(["-k", version] if version else []), *manifests]
        result = subprocess.run(call, capture_output=True, text=True)
        assert result.returncode == 0 and "passed" in result.stdout + result.stderr, result.stdout + result.stderr
    server = next(iter(yaml.safe_load_all(manifests[0].read_text())))
    pod = server["spec"]["template"]["spec"]
    container = pod["containers"][0]
    check_requests(program, container)
    # The flags are those that the program takes, and it ends before it is killed.
    arguments = [*container["args"], "--port", str(free_port())]
    arguments[arguments.index("--model") + 1] = str(MODEL)
    log = folder / "kubernetes.log"
    with running([program, *arguments], log) as process:
        until("the server listens", lambda: "listens at" in log.read_text())
        port = int(arguments[-1])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", container[probe]["httpGet"]["path"])
            assert connection.getresponse().status == 200, probe
            connection.close()
        process.terminate()
        assert process.wait(timeout=30) == 0
    job = yaml.safe_load(manifests[1].read_text())
    corpus_by_job(program, folder, job["spec"]["template"]["spec"]["containers"][0])
    return "schemas of 1.29 and the newest; flags, probes and the job's command run here; no cluster was at hand"


def check_requests(program: str, container: dict) -> None:
    """Whether memory is what inspect foretells of E2B in Q4_0, for the answers that are written at once."""
    report = json.loads(
        subprocess.run(
            [program, "inspect", ROOT / "Models/E2B", "--format", "json"], check=True, capture_output=True, text=True
        ).stdout
    )
    answers = int(container["args"][container["args"].index("--parallel") + 1])
    weights = report["parameters"]["decoder"] * 18 / 32
    bytes_per_token = report["kv_bytes_per_token"]
    # Weights in blocks have keys and values in f16; without weights inspect tells of f32.
    half = 2 if bytes_per_token["type"] == "f32" else 1
    tokens = 8192 * bytes_per_token["full"] + report["layers"]["sliding_window"] * bytes_per_token["sliding"]
    need = weights + answers * tokens / half
    given = container["resources"]["requests"]["memory"]
    assert given.endswith("Gi") and need <= int(given[:-2]) * 2**30 <= 2 * need, f"{given} for {need / 2**30:.2f} GiB"


# MARK: A corpus


def make_corpus(folder: pathlib.Path, count: int = 12) -> None:
    (folder / "in").mkdir(parents=True)
    lines = []
    for index in range(count):
        shutil.copy(SOUND, folder / f"in/{index}.wav")
        lines.append(json.dumps({"path": f"in/{index}.wav", "id": f"speaker {index % 3}/{index}"}))
    (folder / "list.jsonl").write_text("\n".join(lines) + "\n")


def arguments() -> list[str]:
    return ["transcribe", "--no-vad", "--max-tokens", "2", "--model", str(MODEL), "--manifest", "list.jsonl", "-o", "results"]


def check_results(folder: pathlib.Path, counts: list[dict], count: int = 12, skipped: int = 0) -> None:
    found = sorted(str(path.relative_to(folder / "results")) for path in (folder / "results").rglob("*") if path.is_file())
    assert found == sorted(f"speaker {index % 3}/{index}.txt" for index in range(count)), found
    sums = {name: sum(line[name] for line in counts) for name in ("inputs", "done", "skipped", "failed", "stopped")}
    assert sums == {"inputs": count, "done": count - skipped, "skipped": skipped, "failed": 0, "stopped": 0}, sums


def with_program(program: str, folder: pathlib.Path) -> dict:
    """An environment in which the program is on the PATH."""
    (folder / "bin").mkdir(exist_ok=True)
    if not (folder / "bin/gemma4").exists():
        (folder / "bin/gemma4").symlink_to(program)
    return {**os.environ, "PATH": f"{folder}/bin:{PYTHON}:{os.environ['PATH']}"}


def corpus_by_job(program: str, folder: pathlib.Path, container: dict) -> None:
    """Runs the command of the indexed job for each of its indexes."""
    corpus = folder / "corpus"
    make_corpus(corpus)
    (corpus / "list.jsonl").rename(corpus / "manifest.jsonl")
    script = container["args"][0]
    assert "/corpus/" in script and "/64" in script
    script = script.replace("/corpus/", f"{corpus}/").replace("/64", "/3")
    script = re.sub(r"--model \S+", f"--model {MODEL} --no-vad --max-tokens 2", script)
    counts = []
    for index in range(3):
        environment = {**with_program(program, folder), "JOB_COMPLETION_INDEX": str(index)}
        output = subprocess.run(
            [*container["command"], script], check=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ).stdout
        counts.append(json.loads(output))
    check_results(corpus, counts)


@contextlib.contextmanager
def slurm(folder: pathlib.Path):
    """A cluster of one node: munge, a controller, a node."""
    munged, slurmctld, slurmd = find("munged"), find("slurmctld"), find("slurmd")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    keys = folder / "munge"
    keys.mkdir(mode=0o700)
    (keys / "key").touch(mode=0o600)
    (keys / "key").write_bytes(os.urandom(128))
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
AuthType=auth/munge
AuthInfo=socket={keys}/socket
CredType=cred/munge
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=100000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SlurmdParameters=config_overrides
""")
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [munged, "--foreground", "--force", f"--socket={keys}/socket", f"--key-file={keys}/key"]
    munge += [f"--pid-file={keys}/pid", f"--log-file={keys}/log", f"--seed-file={keys}/seed"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(munge, folder / "munge.log"))
        until("munge listens", lambda: (keys / "socket").exists())
        stack.enter_context(running([slurmctld, "-D"], folder / "slurmctld.log", env=environment))
        stack.enter_context(running([slurmd, "-D"], folder / "slurmd.log", env=environment))

        def is_idle() -> bool:
            nodes = subprocess.run([find("sinfo"), "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
            return nodes.stdout.strip() == "idle"

        until("the node is idle", is_idle)
        yield environment


def check_slurm(program: str, folder: pathlib.Path) -> str:
    corpus = folder / "corpus"
    make_corpus(corpus)
    with slurm(folder) as environment:
        environment = {**environment, "PATH": with_program(program, folder)["PATH"]}

        def run(*call: str) -> str:
            return subprocess.run(call, check=True, cwd=corpus, env=environment, capture_output=True, text=True).stdout

        def is_done() -> bool:
            return run("squeue", "-h") == ""

        def counts(job: str) -> list[dict]:
            files = sorted(corpus.glob(f"gemma4-{job}_*.json"))
            return [json.loads(line) for file in files for line in file.read_text().splitlines()]

        script = str(FILES / "corpus-slurm.sh")
        submit = ["sbatch", "--parsable", "--mem=1G", "--cpus-per-task=2"]
        job = run(*submit, "--array=1-3", script, "3", *arguments()).strip()
        until("the array is done", is_done, 120)
        assert len(counts(job)) == 3, (corpus / f"gemma4-{job}_1.log").read_text()
        check_results(corpus, counts(job))
        # The same again does nothing.
        job = run(*submit, "--array=1-3", script, "3", *arguments()).strip()
        until("the array is done", is_done, 120)
        check_results(corpus, counts(job), skipped=12)
        return f"an array of three jobs; again; {stopped_job(run, submit, script, corpus, counts)}"


def stopped_job(run, submit: list[str], script: str, corpus: pathlib.Path, counts) -> str:
    """A job that is told that its time is over is queued again, and does what is left."""
    shutil.rmtree(corpus / "results")
    many = 60
    shutil.rmtree(corpus / "in")
    make_corpus(corpus, many)
    job = run(*submit, "--array=1-1", script, "1", *arguments(), "--parallel", "1").strip()
    until("results come", lambda: len(list((corpus / "results").rglob("*.txt"))) >= 5, 120)
    run("scancel", "--signal=TERM", f"{job}_1")
    until("the first run ends", lambda: len(counts(job)) == 1, 120)
    first = counts(job)[0]
    assert first["stopped"] > 0 and first["done"] > 0, first

    def is_queued() -> bool:
        states = run("squeue", "-h", "-r", "-o", "%T").split()
        return states == ["PENDING"]

    until("it is queued again", is_queued, 60)
    # Slurm lets a job wait for two minutes before it begins anew.
    run("scontrol", "update", f"JobId={job}_1", "StartTime=now")
    until("the second run ends", lambda: len(counts(job)) == 2, 300)
    second = counts(job)[1]
    assert second["skipped"] == first["done"] and second["done"] == many - first["done"], (first, second)
    return f"one stopped after {first['done']} of {many}, which went on with the other {second['done']}"


def check_parallel(program: str, folder: pathlib.Path) -> str:
    parallel, sshd = find("parallel"), find("sshd")
    corpus = folder / "corpus"
    make_corpus(corpus)
    port = free_port()
    for name in ("host", "client"):
        subprocess.run([find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "client.pub", folder / "authorized")
    environment = with_program(program, folder)
    (folder / "sshd_config").write_text(f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
SetEnv PATH={environment["PATH"]}
""")
    ssh = f"ssh -p {port} -i {folder}/client -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known"
    (corpus / "hosts").write_text(f"{ssh} 127.0.0.1\n{ssh} localhost\n")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    with running([sshd, "-D", "-e", "-f", folder / "sshd_config"], folder / "sshd.log"):
        until("sshd listens", lambda: listens(port))
        call = [FILES / "corpus-parallel.sh", "hosts", "4", *arguments()]
        for skipped in (0, 12):
            result = subprocess.run(call, cwd=corpus, env=environment, capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
            counts = [json.loads(line) for line in result.stdout.splitlines()]
            assert len(counts) == 4, result.stdout
            check_results(corpus, counts, skipped=skipped)
        hosts = {line.split("\t")[1] for line in (corpus / "corpus.joblog").read_text().splitlines()[1:]}
    assert len(hosts) == 2, hosts
    return "four shards by ssh to two names of this machine; again"


def check_ray(program: str, folder: pathlib.Path) -> str:
    try:
        import ray  # noqa: F401
    except ImportError:
        raise Missing("ray")
    corpus = folder / "corpus"
    make_corpus(corpus)
    for skipped in (0, 12):
        call = [sys.executable, FILES / "corpus-ray.py", "--shards", "3", "--cpus", "1", "--", *arguments()]
        result = subprocess.run(call, cwd=corpus, env=with_program(program, folder), capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        check_results(corpus, [json.loads(result.stdout)], skipped=skipped)
    # What fails is said, and its code is the cluster's.
    (corpus / "in/3.wav").unlink()
    shutil.rmtree(corpus / "results")
    result = subprocess.run(call, cwd=corpus, env=with_program(program, folder), capture_output=True, text=True)
    assert result.returncode == 66 and json.loads(result.stdout)["failed"] == 1, result.stderr
    return "three shards on one node; again; one input missing"


CHECKS = {
    "nginx": check_nginx,
    "systemd": check_systemd,
    "docker": check_docker,
    "kubernetes": check_kubernetes,
    "slurm": check_slurm,
    "parallel": check_parallel,
    "ray": check_ray,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], default=[])
    options = parser.parse_args()
    program = os.path.realpath(options.program)
    for name in options.checks or CHECKS:
        with tempfile.TemporaryDirectory(prefix="gemma4-") as folder:
            try:
                outcome = CHECKS[name](program, pathlib.Path(folder))
            except Missing as error:
                outcome = f"left out, {error} is not installed"
        print(f"{name}: {outcome}", flush=True)


if __name__ == "__main__":
    main()
