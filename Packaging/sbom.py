"""What a program is made of, as CycloneDX 1.5: packages of Package.resolved, Debian's of the libraries that it loads, Swift.

sbom.py PROGRAM. Two runs over the same sources and the same system give the same bytes.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def swift_packages():
    for pin in json.loads(pathlib.Path("Package.resolved").read_text())["pins"]:
        state = pin["state"]
        version = state.get("version", state["revision"])
        path = re.sub(r"^https://|\.git$", "", pin["location"])
        yield {
            "type": "library", "bom-ref": f"pkg:swift/{path}@{version}", "name": pin["identity"], "version": version,
            "purl": f"pkg:swift/{path}@{version}",
            "externalReferences": [{"type": "vcs", "url": pin["location"], "comment": state["revision"]}],
        }


def libraries(program):
    """Files that the dynamic linker loads, Swift's apart."""
    paths = re.findall(r"=> (/\S+)", output("ldd", program))
    return ([p for p in paths if "/swift/" not in p], any("/swift/" in p for p in paths))


def debian_packages(paths):
    names = set()
    for path in paths:
        for place in (path, str(pathlib.Path(path).resolve()), path.removeprefix("/usr"), "/usr" + path):
            found = subprocess.run(["dpkg", "-S", place], capture_output=True, text=True)
            if found.returncode == 0:
                names.add(found.stdout.split(": ")[0].split(",")[0])
                break
        else:
            yield {
                "type": "file", "bom-ref": path, "name": path,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()}],
            }
    for name in sorted(names):
        package, version, architecture = output(
            "dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}", name).split()
        purl = f"pkg:deb/debian/{package}@{version}?arch={architecture}"
        yield {"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl}


program = sys.argv[1]
version = output(program, "--version").strip()
paths, loads_swift = libraries(program)
components = [*swift_packages(), *debian_packages(paths)]
if loads_swift:
    swift = re.search(r"Swift version (\S+)", output("swift", "--version")).group(1)
    components.append({
        "type": "framework", "bom-ref": f"pkg:github/swiftlang/swift@{swift}", "name": "swift", "version": swift,
        "purl": f"pkg:github/swiftlang/swift@{swift}", "licenses": [{"license": {"id": "Apache-2.0"}}]})
this = {
    "type": "application", "bom-ref": "gemma4", "name": "gemma4", "version": version,
    "licenses": [{"license": {"id": "Apache-2.0"}}],
    "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()}],
}
json.dump({
    "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "metadata": {"component": this}, "components": components,
    "dependencies": [{"ref": "gemma4", "dependsOn": [c["bom-ref"] for c in components]}],
}, sys.stdout, indent=1)
print()
