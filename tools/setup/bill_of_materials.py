#!/usr/bin/env python3
"""What the native files of a wheel contain besides our own code: licences and an SBOM.

usage: bill_of_materials.py FOLDER

Copies the licences of the libraries that are linked in, as Debian distributes
them, to FOLDER/licences, and writes FOLDER/sbom.cdx.json: CycloneDX 1.6 with the
versions of the machine that builds, and what the wheel requires to be installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[2]

# Debian's packages, and the SPDX expressions of what is linked in of them.
LINKED = {
    "libgrpc-dev": "Apache-2.0 AND BSD-3-Clause",
    "libprotobuf-dev": "BSD-3-Clause",
    "libabsl-dev": "Apache-2.0",
    "libre2-dev": "BSD-3-Clause",
    "libc-ares-dev": "MIT",
    "libssl-dev": "Apache-2.0",
    "zlib1g-dev": "Zlib",
    "prometheus-cpp-dev": "MIT",
    "libcivetweb1": "MIT",
    "libspdlog-dev": "MIT",
    "libfmt-dev": "MIT",
}


def linked(package: str, licence: str) -> Component:
    """The source package that a linked library was built from."""
    query = ["dpkg-query", "-W", "-f", "${source:Package}\t${source:Version}\n", package]
    said = subprocess.run(query, capture_output=True, text=True)
    if said.returncode:
        raise SystemExit(f"bill_of_materials: the package {package}, which is linked in, is not installed")
    source, version = said.stdout.splitlines()[0].split("\t")
    return Component(
        type=ComponentType.LIBRARY,
        name=source,
        version=version,
        bom_ref=f"deb:{source}",
        licenses=[LicenseFactory().make_from_string(licence)],
        purl=PackageURL("deb", "debian", source, version),
    )


def required(requirement: str) -> Component:
    """What pip installs beside the wheel; the version is the user's."""
    name = requirement.split(">")[0].split("=")[0].strip()
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=requirement.removeprefix(name).strip(),
        bom_ref=f"pypi:{name}",
        purl=PackageURL("pypi", None, name),
    )


def bill() -> Bom:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel = Component(
        type=ComponentType.LIBRARY,
        name=project["name"],
        version=project["version"],
        bom_ref=project["name"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
        purl=PackageURL("pypi", None, project["name"], project["version"]),
    )
    parts = [linked(package, licence) for package, licence in LINKED.items()]
    parts += [required(requirement) for requirement in project["dependencies"]]
    whole = Bom(components=parts)
    whole.metadata.component = wheel
    whole.register_dependency(wheel, parts)
    return whole


def copy_licences(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for package in LINKED:
        licence = Path("/usr/share/doc", package, "copyright")
        if licence.exists():
            shutil.copyfile(licence, folder / package)
        else:
            print(
                f"{licence} is not there: do not distribute this wheel without the licence of {package}",
                file=sys.stderr,
            )


def main() -> None:
    folder = Path(sys.argv[1])
    copy_licences(folder / "licences")
    json = make_outputter(bill(), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    (folder / "sbom.cdx.json").write_text(json + "\n")


if __name__ == "__main__":
    main()
